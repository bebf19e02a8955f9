import asyncio
from collections.abc import Callable

import pytest

from agent.budget import ByteBudget, Share


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Taker:
    """A task that takes, one request after the other."""

    def __init__(self, group: asyncio.TaskGroup, share: Share, note: Callable[[str], None]) -> None:
        self._group = group
        self._share = share
        self._note = note

    def ask(self, name: str, count: int) -> asyncio.Task[None]:
        return self._group.create_task(self._take(name, count))

    async def _take(self, name: str, count: int) -> None:
        await self._share.take(count)
        self._note(name)


def test_a_part_is_what_each_of_the_present_shares_may_hold() -> None:
    budget = ByteBudget(12)
    assert budget.part == 12
    with budget.share(), budget.share():
        assert budget.part == 6
        with budget.share():
            assert budget.part == 4
    assert budget.part == 12


async def test_shares_are_served_in_turn_whoever_asks_most() -> None:
    budget = ByteBudget(10)
    served: list[str] = []
    with budget.share() as greedy, budget.share() as modest:
        await greedy.take(5)
        await modest.take(5)
        async with asyncio.TaskGroup() as group:
            many, one = Taker(group, greedy, served.append), Taker(group, modest, served.append)
            for number in range(3):
                many.ask(f"greedy-{number}", 5)
            await settle()
            one.ask("modest-0", 5)
            await settle()
            assert served == []
            for share in (modest, greedy, modest, greedy, greedy, greedy):
                if share.held >= 5:
                    share.give(5)
                await settle()
    assert served[:2] == ["greedy-0", "modest-0"] or served[:2] == ["modest-0", "greedy-0"]
    assert budget.free == 10


async def test_a_share_that_is_stuck_leaves_the_others_their_part() -> None:
    budget = ByteBudget(12)
    with budget.share() as stuck, budget.share() as other:
        await stuck.take(6)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await stuck.take(4)
        for _ in range(5):
            await other.take(6)
            other.give(6)
        assert stuck.held == 6


async def test_a_share_alone_has_everything() -> None:
    budget = ByteBudget(12)
    with budget.share() as alone:
        await alone.take(6)
        await alone.take(6)
        assert budget.free == 0


async def test_one_request_always_fits_however_many_share() -> None:
    budget = ByteBudget(12)
    with budget.share() as first, budget.share(), budget.share(), budget.share():
        await first.take(12)
        assert first.held == 12


async def test_a_large_request_is_not_passed_by_small_ones_for_ever() -> None:
    budget = ByteBudget(10)
    served: list[str] = []
    with budget.share() as holder, budget.share() as large, budget.share() as small:
        await holder.take(8)
        async with asyncio.TaskGroup() as group:
            Taker(group, large, served.append).ask("large", 9)
            await settle()
            Taker(group, small, served.append).ask("small", 1)
            await settle()
            assert served == []
            holder.give(8)
    assert served == ["large", "small"]


async def test_a_share_gives_back_what_an_error_left_in_it() -> None:
    budget = ByteBudget(10)
    with pytest.raises(ZeroDivisionError), budget.share() as share:
        await share.take(6)
        await share.take(3)
        share.give(6)
        assert budget.free == 7
        raise ZeroDivisionError
    assert budget.free == 10


async def test_a_cancelled_waiter_takes_nothing_and_lets_the_next_one_pass() -> None:
    budget = ByteBudget(10)
    served: list[str] = []
    with budget.share() as holder, budget.share() as gone, budget.share() as next_one:
        await holder.take(10)
        async with asyncio.TaskGroup() as group:
            first = Taker(group, gone, served.append).ask("gone", 5)
            await settle()
            second = Taker(group, next_one, served.append).ask("next", 4)
            await settle()
            first.cancel()
            holder.give(10)
            await settle()
            assert second.done()
        assert served == ["next"]
        assert budget.free == 6


async def test_who_is_served_and_cancelled_in_one_moment_gives_back() -> None:
    budget = ByteBudget(10)
    with budget.share() as holder, budget.share() as gone:
        await holder.take(10)
        async with asyncio.TaskGroup() as group:
            waiter = group.create_task(gone.take(5))
            await settle()
            holder.give(10)
            waiter.cancel()
            await settle()
        assert (gone.held, budget.free) == (0, 10)


async def test_more_than_there_is_can_never_be_taken() -> None:
    with ByteBudget(10).share() as share, pytest.raises(ValueError, match="never"):
        await share.take(11)


async def test_nothing_can_always_be_taken() -> None:
    budget = ByteBudget(1)
    with budget.share() as holder, budget.share() as idle:
        await holder.take(1)
        await idle.take(0)
