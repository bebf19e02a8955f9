from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain import policies
from coordinator.domain.decisions import NOTHING
from coordinator.domain.errors import InvalidValueError, RefusedError
from coordinator.domain.events import EventKind
from coordinator.domain.identifiers import PolicyId
from coordinator.domain.policy_settings import PolicySettings
from tests.unit.coordinator.examples import NOW, POLICY, SOURCE


def create(frequency: int, retention: int) -> policies.Policy:
    settings = PolicySettings(timedelta(seconds=frequency), timedelta(hours=retention))
    policy, decision = policies.create(PolicyId("p"), "p", settings, NOW)
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


def test_a_policy_is_changed_in_what_is_different_and_the_history_names_it() -> None:
    wanted = replace(POLICY.settings, retention=timedelta(hours=2))
    changed, decision = POLICY.updated(wanted, [SOURCE], NOW)
    assert changed == replace(POLICY, retention=timedelta(hours=2))
    assert decision.aggregates == (changed,)
    (event,) = decision.events
    assert (event.kind, event.detail) == (EventKind.POLICY_CHANGED, "quick: retention")


def test_the_same_again_decides_nothing() -> None:
    assert POLICY.updated(POLICY.settings, [SOURCE], NOW) == (POLICY, NOTHING)


def test_a_change_that_a_source_cannot_follow_is_refused_by_its_name() -> None:
    hasty = replace(POLICY.settings, copy_frequency=timedelta(seconds=1))
    with pytest.raises(InvalidValueError, match="a1"):
        POLICY.updated(hasty, [SOURCE], NOW)
    assert POLICY.updated(hasty, [], NOW)[0].copy_frequency == timedelta(seconds=1)


def test_a_change_to_what_cannot_be_held_is_refused() -> None:
    with pytest.raises(InvalidValueError):
        POLICY.updated(replace(POLICY.settings, retention=timedelta(days=31)), [], NOW)


def test_a_policy_that_is_followed_stays_and_names_who_follows() -> None:
    machines = [f"vm-{number}" for number in range(8)]
    with pytest.raises(RefusedError, match="vm-0, .*vm-4 and 3 more") as caught:
        POLICY.deleted(machines, NOW)
    assert caught.value.code == "policy-in-use"
    with pytest.raises(RefusedError, match="by web"):
        POLICY.deleted(["web"], NOW)


def test_a_policy_that_nobody_follows_is_gone() -> None:
    decision = POLICY.deleted([], NOW)
    assert decision.removed == (POLICY,)
    assert [event.kind for event in decision.events] == [EventKind.POLICY_DELETED]


def test_a_target_follows_from_the_copy_frequency_unless_it_is_set() -> None:
    assert POLICY.promised_rpo == timedelta(seconds=15)
    assert replace(POLICY, rpo_target=timedelta(seconds=6)).promised_rpo == timedelta(seconds=6)
