from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.health import (
    Health,
    HealthLevel,
    HostPresence,
    Observation,
    assess,
    critical_lag,
    grace,
    worst,
)
from coordinator.domain.hosts import HostState
from coordinator.domain.identifiers import ProtectionId
from coordinator.domain.lag import NewestState
from coordinator.domain.orders import Failure
from coordinator.domain.protections import ProtectionState
from coordinator.domain.replication import ReplicationReport, ReplicationState
from tests.unit.coordinator.examples import NOW, protection_in

HERE, AWAY = HostPresence("a1", is_connected=True), HostPresence("a1", is_connected=False)
TROUBLE = ReplicationReport(
    ProtectionId("p"),
    ReplicationState.WAITING,
    Failure("target-away", "The target does not answer.", "Start it."),
    0,
    0,
    0.0,
    None,
    0,
    NOW,
)
WARNED = replace(TROUBLE, failure=None, warning=Failure("fallback", "Not consistent.", "Look."))
SEEN = Observation(HERE, HERE, timedelta(seconds=30), NewestState(NOW - timedelta(seconds=9)), None)


def level(state: ProtectionState, seen: Observation) -> HealthLevel:
    return assess(protection_in(state, cause="c", remedy="r"), seen, NOW).level


def captured(seconds: float) -> Observation:
    return replace(SEEN, newest=NewestState(NOW - timedelta(seconds=seconds)))


def ahead(heard: float) -> Observation:
    """Return what is seen of a source whose clock is far ahead."""
    state = NewestState(NOW + timedelta(minutes=10), NOW - timedelta(seconds=heard))
    return replace(SEEN, newest=state)


@pytest.mark.parametrize(
    ("state", "seen", "expected"),
    [
        (ProtectionState.PROTECTED, SEEN, "healthy"),
        (ProtectionState.PROTECTED, captured(30), "healthy"),
        (ProtectionState.PROTECTED, captured(30.5), "warning"),
        (ProtectionState.PROTECTED, captured(45), "warning"),
        (ProtectionState.PROTECTED, captured(45.5), "critical"),
        (ProtectionState.PROTECTED, ahead(9), "unknown"),
        (ProtectionState.PROTECTED, ahead(46), "critical"),
        (ProtectionState.PROTECTED, replace(SEEN, report=TROUBLE), "warning"),
        (ProtectionState.PROTECTED, replace(captured(91), report=TROUBLE), "critical"),
        (ProtectionState.PROTECTED, replace(SEEN, target=AWAY), "warning"),
        (ProtectionState.PROTECTED, replace(captured(91), target=AWAY), "critical"),
        (ProtectionState.PROTECTED, replace(SEEN, source=AWAY), "unknown"),
        (ProtectionState.PROTECTED, replace(captured(9999), source=AWAY), "critical"),
        (ProtectionState.PROTECTED, replace(SEEN, newest=None), "critical"),
        (ProtectionState.PROTECTED, captured(-5), "healthy"),
        (ProtectionState.PROTECTED, captured(-6), "unknown"),
        (ProtectionState.ENABLING, SEEN, "not-applicable"),
        (ProtectionState.INITIAL_REPLICATION, replace(SEEN, newest=None), "not-applicable"),
        (ProtectionState.INITIAL_REPLICATION, replace(SEEN, report=TROUBLE), "warning"),
        (ProtectionState.INITIAL_REPLICATION, replace(SEEN, target=AWAY), "warning"),
        (ProtectionState.INITIAL_REPLICATION, replace(SEEN, source=AWAY), "unknown"),
        (ProtectionState.RESYNC_REQUIRED, SEEN, "critical"),
        (ProtectionState.RESYNC_REQUIRED, replace(SEEN, source=AWAY), "critical"),
        (ProtectionState.FAILED, SEEN, "critical"),
        (ProtectionState.PROTECTED, replace(SEEN, report=WARNED), "warning"),
        (ProtectionState.PAUSED, captured(9999), "warning"),
        (ProtectionState.PAUSED, replace(SEEN, source=AWAY), "unknown"),
        (ProtectionState.RESYNCHRONIZING, SEEN, "warning"),
        (ProtectionState.RESYNCHRONIZING, replace(SEEN, report=TROUBLE), "warning"),
        (ProtectionState.DISABLING, SEEN, "warning"),
    ],
)
def test_health_of_what_is_known(state: ProtectionState, seen: Observation, expected: str) -> None:
    assert level(state, seen) == expected


@given(
    st.sampled_from(list(ProtectionState)),
    st.booleans(),
    st.booleans(),
    st.one_of(st.none(), st.integers(-100, 1000)),
    st.booleans(),
)
def test_healthy_means_seen_recent_and_without_trouble(
    state: ProtectionState, source: bool, target: bool, age: int | None, trouble: bool
) -> None:
    seen = Observation(
        HostPresence("a1", source),
        HostPresence("b1", target),
        timedelta(seconds=10),
        NewestState(NOW - timedelta(seconds=age)) if age is not None else None,
        TROUBLE if trouble else None,
    )
    health = assess(protection_in(state, cause="c", remedy="r"), seen, NOW)
    if health.level is HealthLevel.HEALTHY:
        assert state is ProtectionState.PROTECTED
        assert source
        assert target
        assert not trouble
        assert age is not None
        assert -5 <= age <= 10
    if health.level not in {HealthLevel.HEALTHY, HealthLevel.NOT_APPLICABLE}:
        assert health.cause
        assert health.remedy


def test_the_cause_of_a_late_point_names_what_the_source_says() -> None:
    health = assess(
        protection_in(ProtectionState.PROTECTED), replace(captured(91), report=TROUBLE), NOW
    )
    assert health == Health(
        HealthLevel.CRITICAL,
        "The newest recovery point is 91 s old. The target does not answer.",
        "Start it.",
    )


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (ProtectionState.PROTECTED, "critical"),
        (ProtectionState.INITIAL_REPLICATION, "warning"),
        (ProtectionState.ENABLING, "warning"),
    ],
)
def test_a_host_that_is_not_trusted_is_told_before_that_it_is_away(
    side: str, state: ProtectionState, expected: str
) -> None:
    lost = HostPresence("a1", is_connected=False, state=HostState.QUARANTINED, remedy="Readmit it.")
    seen = replace(SEEN, source=lost) if side == "source" else replace(SEEN, target=lost)
    health = assess(protection_in(state), seen, NOW)
    assert health.level == expected
    assert "quarantined" in (health.cause or "")
    assert health.remedy == "Readmit it."


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ("healthy warning critical unknown", "critical"),
        ("healthy warning unknown", "warning"),
        ("healthy unknown not-applicable", "unknown"),
        ("not-applicable healthy", "healthy"),
        ("not-applicable", "not-applicable"),
        ("", "not-applicable"),
    ],
)
def test_a_vault_is_as_well_as_the_worst_of_it(levels: str, expected: str) -> None:
    assert worst([HealthLevel(word) for word in levels.split()]) == expected


def test_a_late_point_is_a_warning_before_it_is_critical() -> None:
    assert grace(timedelta(seconds=3)) == timedelta(seconds=5)
    assert grace(timedelta(minutes=15)) == timedelta(minutes=7, seconds=30)


def test_a_promise_that_is_broken_names_the_host_that_is_away() -> None:
    protection = protection_in(ProtectionState.PROTECTED)
    late = captured(9999)
    for seen in (replace(late, source=AWAY), replace(late, target=AWAY)):
        cause = assess(protection, seen, NOW).cause
        assert cause == "The newest recovery point is 9999 s old. Host a1 is not connected."


@pytest.mark.parametrize(("rpo", "critical"), [(30, 45), (4, 9), (3600, 5400)])
def test_a_promise_is_broken_for_certain_when_the_grace_is_over(rpo: int, critical: int) -> None:
    assert critical_lag(timedelta(seconds=rpo)) == timedelta(seconds=critical)
