from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest

from agent.source.assignment import ThrottleWindow
from agent.source.throttle import MAX_NAP_SECONDS, Throttle, limit_at
from tests.support.virtual_clock import VirtualClock

WEEKDAYS = 0b0011111
DAYTIME = ThrottleWindow(WEEKDAYS, 8 * 60, 18 * 60, 1000)
NIGHT = ThrottleWindow(1 << 4, 22 * 60, 6 * 60, 500)
ALWAYS = ThrottleWindow(127, 0, 0, 100)
NEVER = ThrottleWindow(127, 0, 1440, 0)
# 2026-01-01 is a Thursday.
THURSDAY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("windows", "when", "limit"),
    [
        ([], THURSDAY, None),
        ([DAYTIME], THURSDAY + timedelta(hours=7, minutes=59), None),
        ([DAYTIME], THURSDAY + timedelta(hours=8), 1000),
        ([DAYTIME], THURSDAY + timedelta(hours=17, minutes=59), 1000),
        ([DAYTIME], THURSDAY + timedelta(hours=18), None),
        ([DAYTIME], THURSDAY + timedelta(days=2, hours=9), None),
        # Friday night, until Saturday morning
        ([NIGHT], THURSDAY + timedelta(hours=23), None),
        ([NIGHT], THURSDAY + timedelta(days=1, hours=22), 500),
        ([NIGHT], THURSDAY + timedelta(days=2, hours=5, minutes=59), 500),
        ([NIGHT], THURSDAY + timedelta(days=2, hours=6), None),
        ([NIGHT], THURSDAY + timedelta(days=1, hours=5), None),
        ([ALWAYS], THURSDAY + timedelta(days=3, hours=13), 100),
        ([NEVER], THURSDAY, 0),
        # the first that holds
        ([DAYTIME, ALWAYS], THURSDAY + timedelta(hours=9), 1000),
        ([DAYTIME, ALWAYS], THURSDAY + timedelta(hours=19), 100),
        # Sunday night ends on Monday
        ([ThrottleWindow(1 << 6, 1380, 60, 7)], THURSDAY + timedelta(days=4, minutes=30), 7),
        ([ThrottleWindow(0, 0, 1440, 7)], THURSDAY, None),
    ],
)
def test_the_first_window_that_holds_limits(
    windows: Sequence[ThrottleWindow], when: datetime, limit: int | None
) -> None:
    assert limit_at(windows, when) == limit


class Rig:
    def __init__(self, *windows: ThrottleWindow) -> None:
        self.clock = VirtualClock()
        self.windows = windows
        self.throttle = Throttle(lambda: self.windows, self.clock, UTC)


async def test_without_a_window_nothing_waits() -> None:
    rig = Rig()
    for _ in range(100):
        await rig.throttle.take(1 << 30)
    assert rig.clock.slept == []


async def test_bytes_leave_at_the_rate_that_was_ordered() -> None:
    rig = Rig(ALWAYS)
    for _ in range(11):
        await rig.throttle.take(50)
    # The first leaves at once, ten times 50 at 100 a second follow.
    assert rig.clock.monotonic() == pytest.approx(5.0)


async def test_more_than_a_second_s_bytes_pass_one_by_one() -> None:
    rig = Rig(ALWAYS)
    for _ in range(3):
        await rig.throttle.take(1000)
    assert rig.clock.monotonic() == pytest.approx(20.0)
    assert max(rig.clock.slept) <= MAX_NAP_SECONDS


async def test_idle_time_saves_up_one_second_at_most() -> None:
    rig = Rig(ALWAYS)
    await rig.throttle.take(1)
    rig.clock.advance(3600)
    await rig.throttle.take(100)
    await rig.throttle.take(100)
    before = rig.clock.monotonic()
    await rig.throttle.take(1)
    assert rig.clock.monotonic() - before == pytest.approx(1.0)


async def test_what_was_not_sent_after_all_is_free_again() -> None:
    rig = Rig(ALWAYS)
    for _ in range(10):
        await rig.throttle.take(100)
        rig.throttle.give(100)
    assert rig.clock.slept == []


async def test_a_limit_of_zero_waits_for_the_window_s_end() -> None:
    rig = Rig(ThrottleWindow(127, 0, 60, 0))
    await rig.throttle.take(1)
    assert rig.clock.now().hour == 1


async def test_windows_are_those_of_the_moment() -> None:
    rig = Rig(NEVER)
    sleep = rig.clock.sleep

    async def change_after(seconds: float) -> None:
        await sleep(seconds)
        if rig.clock.monotonic() > 60:
            rig.windows = ()

    rig.clock.sleep = change_after  # type: ignore[method-assign]  # an order comes in the meantime
    await rig.throttle.take(1)
    assert 60 < rig.clock.monotonic() <= 60 + MAX_NAP_SECONDS


async def test_windows_are_at_home_where_the_host_is() -> None:
    rig = Rig(ThrottleWindow(127, 0, 60, 0))
    rig.throttle = Throttle(lambda: rig.windows, rig.clock, timezone(timedelta(hours=2)))
    await rig.throttle.take(1)
    assert rig.clock.slept == []
    assert Throttle(lambda: (), rig.clock) is not None
