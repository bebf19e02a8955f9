"""The machine's clock."""

from datetime import timedelta

from replikera.system.clock import SystemClock


async def test_now_is_utc_and_monotonic_time_moves_forward() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(-1)
    assert clock.monotonic() >= before
    assert clock.now().utcoffset() == timedelta(0)
