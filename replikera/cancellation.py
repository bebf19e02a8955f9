"""A cancellation that cannot be overlooked."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def in_own_task(attempt: Coroutine[Any, Any, T]) -> T:
    """Return what `attempt` returns; where the caller is told to end, end it, wait for it, and raise.

    A `TaskGroup` whose child fails in the moment of cancellation raises the child's error alone, and up to Python 3.12
    the task's own count of cancellations is wrong after it. A loop that catches the errors of an attempt and tries
    again would then never end. In a task of its own the attempt may raise what it likes.
    """
    task = asyncio.get_running_loop().create_task(attempt)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen: the caller ends either way
        raise
    return task.result()
