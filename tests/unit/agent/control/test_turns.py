import asyncio

import pytest

from agent.control.turns import Turns
from tests.unit.agent.fakes import settle


async def test_turns_of_one_subject_come_in_the_order_of_asking() -> None:
    turns, gate, seen = Turns(), asyncio.Event(), list[int]()

    async def act(number: int) -> None:
        async with turns.take("p"):
            seen.append(number)
            await gate.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(act(number))
        await settle()
        assert seen == [0]
        gate.set()
    assert seen == [0, 1, 2]
    assert not turns._locks


@pytest.mark.parametrize("subject", ["", "other"])
async def test_others_do_not_wait(subject: str) -> None:
    turns = Turns()
    async with turns.take("p"), turns.take(subject), turns.take(""):
        pass


async def test_who_gives_up_keeps_nobody_waiting() -> None:
    turns = Turns()

    async def wait() -> None:
        async with turns.take("p"):
            raise AssertionError("not its turn")

    async with turns.take("p"):
        waiting = asyncio.create_task(wait())
        await settle()
        waiting.cancel()
        await settle()
    async with turns.take("p"):
        pass
    assert not turns._users
