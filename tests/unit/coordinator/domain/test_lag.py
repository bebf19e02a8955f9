from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.lag import NewestState, age_at_least, lag
from tests.unit.coordinator.examples import NOW

SECONDS = st.integers(0, 2000).map(lambda seconds: timedelta(seconds=seconds))


def ago(seconds: float) -> NewestState:
    return NewestState(NOW - timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("captured", "expected"), [(9, 9), (0, 0), (-5, 0), (-6, None), (-9999, None)]
)
def test_lag_counts_from_the_capture_unless_that_is_in_the_future(
    captured: float, expected: float | None
) -> None:
    told = lag(ago(captured), NOW)
    assert told == (None if expected is None else timedelta(seconds=expected))


def test_of_nothing_nothing_is_known() -> None:
    assert lag(None, NOW) is None


@given(st.integers(-900, 900), SECONDS, SECONDS)
def test_no_clock_that_is_ahead_makes_a_point_younger_than_it_was_heard_of(
    skew: int, on_its_way: timedelta, since: timedelta
) -> None:
    captured = NOW - since - on_its_way
    state = NewestState(captured + timedelta(seconds=skew), NOW - since)
    assert age_at_least(state, NOW) == since
    told = lag(state, NOW)
    if told is not None:
        assert told >= since
        if skew <= 0:
            assert told >= NOW - captured
