import asyncio

import pytest

from agent.source.waiting import first_of


async def never() -> None:
    await asyncio.Event().wait()


async def soon() -> None:
    await asyncio.sleep(0)


async def failing() -> None:
    raise ZeroDivisionError


async def test_the_first_ends_the_wait() -> None:
    async with asyncio.timeout(5):
        await first_of(never(), soon())


async def test_the_caller_s_cancellation_ends_all() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await first_of(never(), never())


async def test_an_error_is_told() -> None:
    with pytest.raises(ExceptionGroup):
        await first_of(never(), failing())
