from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain import policies
from coordinator.domain.errors import InvalidValueError
from coordinator.domain.identifiers import PolicyId
from tests.unit.coordinator.examples import NOW, POLICY, SOURCE


def create(frequency: int, retention: int) -> policies.Policy:
    policy, decision = policies.create(
        PolicyId("p"), "p", timedelta(seconds=frequency), timedelta(hours=retention), NOW
    )
    assert decision.aggregates == (policy,)
    return policy


@given(st.integers(1, 86_400), st.integers(0, 720))
def test_everything_inside_the_bounds_is_a_policy(frequency: int, retention: int) -> None:
    policy = create(frequency, retention)
    assert policy.copy_frequency == timedelta(seconds=frequency)
    assert policy.retention == timedelta(hours=retention)


@given(st.one_of(st.integers(-(10**6), 0), st.integers(86_401, 10**6)))
def test_a_copy_frequency_outside_the_bounds_is_refused(frequency: int) -> None:
    with pytest.raises(InvalidValueError) as caught:
        create(frequency, 1)
    assert caught.value.field == "copy_frequency_seconds"


@given(st.one_of(st.integers(-(10**6), -1), st.integers(721, 10**6)))
def test_a_retention_outside_the_bounds_is_refused(retention: int) -> None:
    with pytest.raises(InvalidValueError) as caught:
        create(60, retention)
    assert caught.value.field == "retention_hours"


def test_a_source_is_not_asked_for_more_than_its_driver_can_hold() -> None:
    replace(POLICY, copy_frequency=timedelta(seconds=2)).check_source(SOURCE)
    with pytest.raises(InvalidValueError, match=r"every 1 s.*simulated driver.*a1 needs 2 s"):
        replace(POLICY, copy_frequency=timedelta(seconds=1)).check_source(SOURCE)
