"""A daemon's signs of life for its service manager, given from the event loop: when that hangs, they stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from replikera.ports.clock import Clock
from replikera.ports.service_manager import ServiceManager

BEATS = 2
"""Signs of life in the manager's patience: one may be late."""


@asynccontextmanager
async def supervised(
    manager: ServiceManager, clock: Clock, stopping: asyncio.Event
) -> AsyncIterator[None]:
    """Give signs of life in the block, and say when the daemon begins to stop: at the latest at the block's end."""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(_tell_stopping(manager, stopping))]
    if manager.patience_s is not None:
        tasks.append(loop.create_task(_beat(manager, clock, manager.patience_s / BEATS)))
    try:
        yield
    finally:
        if not tasks[0].done():
            manager.tell_stopping()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _tell_stopping(manager: ServiceManager, stopping: asyncio.Event) -> None:
    await stopping.wait()
    manager.tell_stopping()


async def _beat(manager: ServiceManager, clock: Clock, interval_s: float) -> NoReturn:
    while True:
        manager.tell_alive()
        await clock.sleep(interval_s)
