from dataclasses import replace

import pytest

from coordinator.domain import protection_changes as changes
from coordinator.domain.errors import DomainError, IllegalTransitionError
from coordinator.domain.hosts import HostState
from coordinator.domain.identifiers import JobId, OrderId
from coordinator.domain.orders import Failure, StartReplication
from coordinator.domain.protection_changes import ChangeIds, Replicating
from coordinator.domain.protections import Protection, ProtectionState
from tests.unit.coordinator.examples import (
    LATER,
    NOW,
    POLICY,
    SOURCE,
    TARGET,
    enabling,
    protection_in,
)

CHANGE_IDS = ChangeIds(JobId("change"), OrderId("change-order"))
FAILURE = Failure("c", "Cause.", "Remedy.")


def of(state: ProtectionState, *, is_paused: bool = False) -> Replicating:
    return Replicating(protection_in(state, is_paused=is_paused), SOURCE, TARGET, POLICY)


@pytest.mark.parametrize("state", ProtectionState)
def test_only_what_replicates_is_paused(state: ProtectionState) -> None:
    if state in ("protected", "initial-replication"):
        _, decision = changes.pause(of(state), CHANGE_IDS, NOW)
        action = decision.orders[0].action
        assert isinstance(action, StartReplication)
        assert action.is_paused
        return
    with pytest.raises(IllegalTransitionError):
        changes.pause(of(state), CHANGE_IDS, NOW)


@pytest.mark.parametrize(
    ("has_point", "expected"), [(True, "protected"), (False, "initial-replication")]
)
def test_a_resumed_protection_is_where_its_points_say(has_point: bool, expected: str) -> None:
    job, decision = changes.resume(of(ProtectionState.PAUSED, is_paused=True), CHANGE_IDS, NOW)
    wanted = decision.aggregates[0]
    assert isinstance(wanted, Protection)
    told = decision.orders[0].action
    assert isinstance(told, StartReplication)
    settled = changes.settings_taken(wanted, job, told, LATER, has_point=has_point).aggregates[0]
    assert isinstance(settled, Protection)
    assert settled.state == expected


def test_a_resync_that_was_required_meanwhile_stays_so() -> None:
    job, decision = changes.pause(of(ProtectionState.PROTECTED), CHANGE_IDS, NOW)
    told = decision.orders[0].action
    assert isinstance(told, StartReplication)
    doubtful = protection_in(ProtectionState.RESYNC_REQUIRED, is_paused=True)
    settled = changes.settings_taken(doubtful, job, told, LATER, has_point=True).aggregates[0]
    assert isinstance(settled, Protection)
    assert settled.state is ProtectionState.RESYNC_REQUIRED
    changes.resume(replace(of(ProtectionState.PAUSED), protection=doubtful), CHANGE_IDS, NOW)


def test_the_first_point_of_a_paused_protection_ends_its_enabling() -> None:
    protection, job = enabling()
    for _ in range(2):
        job = job.task_done(NOW)
    paused = replace(protection, state=ProtectionState.PAUSED, is_paused=True)
    (ended,) = paused.point_sealed(job, LATER).aggregates
    assert ended == job.task_done(LATER)
    assert paused.point_sealed(job.task_done(LATER), LATER).aggregates == ()


def test_what_ended_meanwhile_is_given_no_settings() -> None:
    change = changes.apply_policy(of(ProtectionState.PROTECTED), CHANGE_IDS, NOW)
    assert change is not None
    decision = changes.terms_accepted(
        of(ProtectionState.DISABLING), change[0], OrderId("next"), LATER
    )
    assert decision.orders == ()
    assert changes.apply_policy(of(ProtectionState.FAILED), CHANGE_IDS, NOW) is None
    with pytest.raises(DomainError) as caught:
        changes.follow(of(ProtectionState.FAILED), POLICY, CHANGE_IDS, NOW)
    assert caught.value.code == "not-changeable"


def test_a_host_that_is_not_trusted_is_given_no_orders() -> None:
    lost = replace(of(ProtectionState.PROTECTED), source=replace(SOURCE, state=HostState.REVOKED))
    with pytest.raises(IllegalTransitionError) as caught:
        changes.pause(lost, CHANGE_IDS, NOW)
    assert caught.value.code == "host-revoked"
