"""Blocking work in turns."""

import asyncio
from collections.abc import Generator

import pytest

from agent.replica.steps import run_steps
from tests.support.virtual_clock import InlineWorker


async def test_the_last_thing_yielded_is_returned() -> None:
    def steps() -> Generator[int | None]:
        yield None
        yield 7

    def nothing() -> Generator[int]:
        yield from ()

    assert await run_steps(InlineWorker(), steps()) == 7
    assert await run_steps(InlineWorker(), nothing()) is None


async def test_others_get_their_turn_between_steps() -> None:
    order: list[str] = []

    def steps(name: str) -> Generator[None]:
        for number in range(3):
            order.append(f"{name}{number}")
            yield

    await asyncio.gather(*(run_steps(InlineWorker(), steps(name)) for name in "ab"))
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]


async def test_an_error_comes_through_and_a_cancelled_one_cleans_up() -> None:
    cleaned: list[str] = []

    def steps(*, fails: bool) -> Generator[None]:
        try:
            yield
            if fails:
                raise KeyError("step")
            while True:
                yield
        finally:
            cleaned.append("up")

    with pytest.raises(KeyError, match="step"):
        await run_steps(InlineWorker(), steps(fails=True))
    task = asyncio.ensure_future(run_steps(InlineWorker(), steps(fails=False)))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == ["up", "up"]
