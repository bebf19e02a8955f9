"""Blocking work runs elsewhere and is never abandoned half-way."""

import asyncio
import threading

import pytest

from replikera.system.workers import ThreadWorker


async def test_a_result_and_an_error_come_back() -> None:
    worker = ThreadWorker("test", threads=1)
    assert await worker.run(int, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await worker.run(int, "seven")
    worker.close()


async def test_a_cancelled_caller_waits_for_the_running_call() -> None:
    worker = ThreadWorker("test", threads=1)
    started, release, done = threading.Event(), threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        release.wait(10)
        done.set()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(worker.run(block))
        await asyncio.get_running_loop().run_in_executor(None, started.wait, 10)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not task.done()
        release.set()
        await asyncio.wait([task])
    assert task.cancelled()
    assert done.is_set()
    worker.close()
