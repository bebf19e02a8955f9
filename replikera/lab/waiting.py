"""Waiting for something to become true, with an end."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from replikera.lab.errors import LabError
from replikera.ports.clock import Clock

T = TypeVar("T")


async def wait_for(
    clock: Clock,
    look: Callable[[], Awaitable[T | None]],
    *,
    what: str,
    timeout: float,
    interval: float = 0.5,
) -> T:
    """Return the first thing that `look` finds. Raises `LabError` when `timeout` seconds are over."""
    deadline = clock.monotonic() + timeout
    while (found := await look()) is None:
        if clock.monotonic() >= deadline:
            raise LabError(
                f"{what} did not come within {timeout:g} s",
                "Look into the logs of the lab's folder",
            )
        await clock.sleep(interval)
    return found
