"""Threads for blocking work."""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ThreadWorker:
    """A bounded pool of threads of its own: a slow disk delays its own callers and nobody else."""

    def __init__(self, name: str, *, threads: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function` returns; a cancelled caller first waits for the running call."""
        call = self._pool.submit(functools.partial(function, *args, **kwargs))
        future = asyncio.wrap_future(call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # A call that has not begun is taken back; one that runs is waited for, however often we are cancelled.
            if not call.cancel():
                await _until_done(future)
            raise

    def close(self) -> None:
        """Wait for running calls and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)


async def _until_done(future: "asyncio.Future[T]") -> None:
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue
    if not future.cancelled():
        future.exception()  # seen: the caller is told of its cancellation instead
