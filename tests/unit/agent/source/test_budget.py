import asyncio

import pytest

from agent.source.budget import ReadAheadBudget


async def test_who_asks_first_is_served_first() -> None:
    budget = ReadAheadBudget(10)
    served: list[str] = []

    async def use(name: str, count: int) -> None:
        await budget.take(count)
        served.append(name)

    await budget.take(8)
    async with asyncio.TaskGroup() as group:
        group.create_task(use("large", 9))
        await asyncio.sleep(0)
        group.create_task(use("small", 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert served == []
        budget.give(8)
    assert served == ["large", "small"]
    assert budget.free == 0


async def test_a_share_gives_back_what_an_error_left_in_it() -> None:
    budget = ReadAheadBudget(10)
    with pytest.raises(ZeroDivisionError), budget.share() as share:
        await share.take(6)
        await share.take(3)
        share.give(6)
        assert budget.free == 7
        raise ZeroDivisionError
    assert budget.free == 10


async def test_a_cancelled_waiter_takes_nothing_and_lets_the_next_one_pass() -> None:
    budget = ReadAheadBudget(10)
    await budget.take(10)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(budget.take(5))
        second = group.create_task(budget.take(4))
        await asyncio.sleep(0)
        first.cancel()
        budget.give(10)
    assert second.done()
    assert budget.free == 6


async def test_more_than_there_is_can_never_be_taken() -> None:
    with pytest.raises(ValueError, match="never"):
        await ReadAheadBudget(10).take(11)
