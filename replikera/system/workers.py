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
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, functools.partial(function, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if not future.cancel():
                await asyncio.wait([future])
                if not future.cancelled():
                    future.exception()
            raise

    def close(self) -> None:
        """Wait for running calls and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
