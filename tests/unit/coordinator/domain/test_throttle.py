import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.errors import InvalidValueError
from coordinator.domain.throttle import MAX_RATE, MAX_WINDOWS, ThrottleWindow, check_windows

WINDOW = ThrottleWindow(0b1_1111, 480, 1080, 10 << 20)


@given(st.integers(1, 127), st.integers(0, 1439), st.integers(0, 1440), st.integers(0, MAX_RATE))
def test_every_time_of_a_week_may_be_limited(days: int, start: int, end: int, rate: int) -> None:
    check_windows([ThrottleWindow(days, start, end, rate)])


@pytest.mark.parametrize(
    "windows",
    [
        [ThrottleWindow(0, 0, 0, 0)],
        [ThrottleWindow(128, 0, 0, 0)],
        [ThrottleWindow(1, 1440, 0, 0)],
        [ThrottleWindow(1, 0, 1441, 0)],
        [ThrottleWindow(1, -1, 0, 0)],
        [ThrottleWindow(1, 0, 0, -1)],
        [ThrottleWindow(1, 0, 0, MAX_RATE + 1)],
        [WINDOW] * (MAX_WINDOWS + 1),
    ],
)
def test_what_no_source_could_obey_is_refused(windows: list[ThrottleWindow]) -> None:
    with pytest.raises(InvalidValueError) as caught:
        check_windows(windows)
    assert (caught.value.code, caught.value.field) == ("invalid-throttle", "throttle")
