"""Waiting ends with what was waited for, or with an error that names it."""

import pytest

from replikera.lab.errors import LabError
from replikera.lab.waiting import wait_for
from tests.support.lab import InstantClock


async def test_it_returns_the_first_thing_found() -> None:
    clock, looks = InstantClock(), [None, None, "there"]

    async def look() -> str | None:
        return looks.pop(0)

    assert await wait_for(clock, look, what="it", timeout=10, interval=1) == "there"
    assert clock.passed == 2


async def test_it_gives_up_in_time() -> None:
    clock = InstantClock()

    async def look() -> str | None:
        return None

    with pytest.raises(LabError, match="a miracle did not come within 5 s"):
        await wait_for(clock, look, what="a miracle", timeout=5, interval=1)
    assert clock.passed == 5
