"""Long blocking work in short turns, so that one replica's does not hold up another's on the same worker."""

from collections.abc import Generator
from typing import TypeVar

from replikera.ports.workers import Worker

T = TypeVar("T")


async def run_steps(worker: Worker, steps: Generator[T]) -> T | None:
    """Run a generator to its end, each step by itself; return the last thing it yielded.

    A cancelled caller waits for the running step; then the generator is closed, and cleans up.
    """
    last: T | None = None
    try:
        while (turn := await worker.run(next_step, steps)) is not None:
            last = turn[0]
    finally:
        await worker.run(steps.close)
    return last


def next_step(steps: Generator[T]) -> tuple[T] | None:
    """Run one step; return what it yielded, None at the end. Blocks."""
    for item in steps:
        return (item,)
    return None
