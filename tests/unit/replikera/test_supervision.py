"""The service manager hears of a daemon whose event loop turns."""

import asyncio

import pytest

from replikera.supervision import supervised
from tests.support.virtual_clock import VirtualClock


class Listener:
    def __init__(self, patience_s: float | None) -> None:
        self.patience_s = patience_s
        self.told: list[str] = []

    def tell_ready(self) -> None:
        self.told.append("ready")

    def tell_alive(self) -> None:
        self.told.append("alive")

    def tell_stopping(self) -> None:
        self.told.append("stopping")


async def turn(times: int = 10) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_the_loop_gives_a_sign_of_life_twice_in_the_managers_patience() -> None:
    manager, clock = Listener(30.0), VirtualClock()
    async with supervised(manager, clock, asyncio.Event()):
        await turn()
    assert manager.told[:3] == ["alive"] * 3
    assert set(clock.slept) == {15.0}


async def test_a_manager_that_does_not_watch_gets_no_signs_of_life() -> None:
    manager = Listener(None)
    async with supervised(manager, VirtualClock(), asyncio.Event()):
        await turn()
    assert manager.told == ["stopping"]


async def test_stopping_is_told_when_it_begins_and_once() -> None:
    manager, stopping = Listener(None), asyncio.Event()
    async with supervised(manager, VirtualClock(), stopping):
        stopping.set()
        await turn()
        assert manager.told == ["stopping"]
    assert manager.told == ["stopping"]


async def test_stopping_that_ends_at_once_is_told_too() -> None:
    manager, stopping = Listener(None), asyncio.Event()
    async with supervised(manager, VirtualClock(), stopping):
        stopping.set()
    assert manager.told == ["stopping"]


async def test_a_daemon_that_fails_says_so_and_leaves_nothing_running() -> None:
    manager = Listener(1.0)
    before = asyncio.all_tasks()
    with pytest.raises(OSError, match="taken"):
        async with supervised(manager, VirtualClock(), asyncio.Event()):
            raise OSError("address taken")
    assert manager.told[-1] == "stopping"
    assert asyncio.all_tasks() == before
