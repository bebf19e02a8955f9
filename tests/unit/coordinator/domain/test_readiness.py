from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain.health import HostPresence
from coordinator.domain.hosts import HostState
from coordinator.domain.points import RecoveryPoint
from coordinator.domain.protections import ProtectionState
from coordinator.domain.readiness import Readiness, Verdict, readiness
from tests.unit.coordinator.examples import NOW, protection_in, recovery_point

HERE = HostPresence("b1", is_connected=True)
AWAY = replace(HERE, is_connected=False)
POINT = recovery_point(7, capture_started_at=NOW - timedelta(seconds=20.5))
WITH_POINTS = (
    ProtectionState.PROTECTED,
    ProtectionState.PAUSED,
    ProtectionState.RESYNC_REQUIRED,
    ProtectionState.RESYNCHRONIZING,
)
OTHERS = tuple(state for state in ProtectionState if state not in WITH_POINTS)


def asked(
    state: ProtectionState = ProtectionState.PROTECTED,
    target: HostPresence = HERE,
    newest: RecoveryPoint | None = POINT,
    *,
    has_told: bool = True,
    is_reconciling: bool = False,
) -> Readiness:
    protection = protection_in(state, cause="The disk is full.")
    return readiness(
        protection, target, newest, NOW, has_told=has_told, is_reconciling=is_reconciling
    )


@pytest.mark.parametrize("state", WITH_POINTS)
def test_a_point_at_a_target_that_is_there_can_be_failed_over_to(state: ProtectionState) -> None:
    found = asked(state)
    assert (found.verdict, found.point_age) == (Verdict.YES, timedelta(seconds=20.5))
    assert found.reason.startswith("Its newest point 7 is 21 s old.")
    is_doubtful = state in (ProtectionState.RESYNC_REQUIRED, ProtectionState.RESYNCHRONIZING)
    assert found.reason.endswith("are not known to be equal.") == is_doubtful


def test_a_newest_point_of_two_contents_is_nothing_to_fail_over_to() -> None:
    found = asked(newest=replace(POINT, other_digest=b"x" * 32))
    assert found.verdict is Verdict.NO
    assert "two contents of its newest point 7" in found.reason


def test_what_an_earlier_session_told_is_no_answer() -> None:
    found = asked(has_told=False)
    assert found.verdict is Verdict.UNKNOWN
    assert "told nothing of them since it connected" in found.reason


def test_an_age_that_the_clocks_do_not_tell_is_unknown() -> None:
    ahead = recovery_point(9, capture_started_at=NOW + timedelta(seconds=6))
    assert asked(newest=ahead) == Readiness(
        Verdict.YES, "Its newest point 9 is of unknown age.", None
    )


@pytest.mark.parametrize("state", WITH_POINTS)
@pytest.mark.parametrize("newest", [POINT, None])
def test_points_of_a_target_that_is_away_are_unknown(
    state: ProtectionState, newest: RecoveryPoint | None
) -> None:
    assert asked(state, AWAY, newest) == Readiness(
        Verdict.UNKNOWN, "Host b1 is not connected: its points cannot be read now."
    )


def test_without_a_point_there_is_nothing_to_fail_over_to() -> None:
    assert asked(newest=None) == Readiness(Verdict.NO, "Host b1 reports no recovery point.")


@pytest.mark.parametrize("state", OTHERS)
@pytest.mark.parametrize("target", [HERE, AWAY])
def test_what_was_not_begun_has_failed_or_ends_cannot_be_failed_over(
    state: ProtectionState, target: HostPresence
) -> None:
    found = asked(state, target)
    assert (found.verdict, found.point_age) == (Verdict.NO, None)
    reasons = {
        ProtectionState.ENABLING: "It is not protected yet (state enabling).",
        ProtectionState.INITIAL_REPLICATION: (
            "It is not protected yet (state initial-replication)."
        ),
        ProtectionState.DISABLING: (
            "Its protection is being disabled: its recovery points are removed."
        ),
        ProtectionState.FAILED: "Its protection has failed: The disk is full.",
    }
    assert found.reason == reasons[state]


@pytest.mark.parametrize("state", [HostState.QUARANTINED, HostState.REVOKED, HostState.RETIRED])
@pytest.mark.parametrize("is_reconciling", [True, False])
def test_a_target_that_is_not_trusted_is_given_no_orders(
    state: HostState, is_reconciling: bool
) -> None:
    found = asked(target=replace(HERE, state=state), is_reconciling=is_reconciling)
    assert found == Readiness(Verdict.NO, f"Host b1 is {state}: it is given no orders.")


@pytest.mark.parametrize("state", list(ProtectionState))
def test_a_vault_that_reconciles_claims_nothing(state: ProtectionState) -> None:
    found = asked(state, is_reconciling=True)
    assert (found.verdict, found.point_age) == (Verdict.UNKNOWN, None)
