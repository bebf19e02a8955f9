"""A loop that catches errors ends all the same when it is told to."""

import asyncio

import pytest

from replikera.cancellation import in_own_task


async def fail_when_cancelled() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise ConnectionError("broken in the same moment")


async def group_that_breaks() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(fail_when_cancelled())


async def test_a_cancellation_behind_a_groups_error_is_raised() -> None:
    async def loop() -> None:
        while True:
            try:
                await in_own_task(group_that_breaks())
            except ExceptionGroup:
                continue

    task = asyncio.create_task(loop())
    for _ in range(4):
        await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait([task])
    assert task.cancelled()


async def test_results_and_errors_come_back() -> None:
    async def seven() -> int:
        return 7

    async def broken() -> int:
        raise ConnectionError("broken")

    assert await in_own_task(seven()) == 7
    with pytest.raises(ConnectionError):
        await in_own_task(broken())


async def test_the_attempt_has_ended_when_the_caller_ends() -> None:
    ended = asyncio.Event()

    async def attempt() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(in_own_task(attempt()))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert ended.is_set()
