from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from coordinator.domain import grants, protections
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import ForbiddenError, InvalidValueError, RefusedError
from coordinator.domain.events import EventKind
from coordinator.domain.hosts import HostState
from coordinator.domain.identifiers import Generation, HostId, JobId, OrderId, ProtectionId
from coordinator.domain.jobs import Job, JobState
from coordinator.domain.orders import AcceptReplica, Failure, StartReplication
from coordinator.domain.protections import EnableIds, Protection, ProtectionState
from tests.unit.coordinator.examples import (
    IDS,
    LATER,
    MACHINE,
    NOW,
    POLICY,
    REQUEST,
    SOURCE,
    TARGET,
    enabling,
    protection_in,
)

FAILURE = Failure("disk-full", "It is full.", "Free it.")
RETRY = EnableIds(ProtectionId("other"), Generation("gen-2"), JobId("job-2"), OrderId("order-9"))


def parts(decision: Decision) -> tuple[Protection, Job]:
    (protection,) = (item for item in decision.aggregates if isinstance(item, Protection))
    (job,) = (item for item in decision.aggregates if isinstance(item, Job))
    return protection, job


def test_enabling_orders_the_target_to_accept_first() -> None:
    job, decision = protections.enable(REQUEST, IDS, NOW)
    protection, stored = parts(decision)
    assert stored == job
    assert (protection.state, protection.epoch_number) == (ProtectionState.ENABLING, 1)
    (order,) = decision.orders
    assert (order.host_id, order.job_id, order.outcome) == (TARGET.id, job.id, None)
    assert order.action == AcceptReplica(
        protection.id, 1, IDS.generation, SOURCE.id, MACHINE.id, "web", POLICY.retention
    )
    kinds = [event.kind for event in decision.events]
    assert kinds == [EventKind.PROTECTION_ENABLING, EventKind.GRANT_ISSUED]


def test_the_source_is_ordered_only_after_the_target_accepted() -> None:
    protection, job = enabling()
    decision = protection.replica_accepted(job, TARGET, POLICY, OrderId("order-2"), LATER)
    (order,) = decision.orders
    assert order.host_id == SOURCE.id
    assert order.action == StartReplication(
        protection.id, 1, IDS.generation, MACHINE.id, TARGET.id, "b1:1", POLICY.copy_frequency
    )
    kept, advanced = decision.aggregates
    assert kept == protection
    assert isinstance(advanced, Job)
    assert advanced.state is JobState.RUNNING


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"target": SOURCE}, "same-host"),
        (
            {"policy": replace(POLICY, copy_frequency=POLICY.copy_frequency / 5)},
            "copy-frequency-too-short",
        ),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(change: dict[str, object], code: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        protections.enable(replace(REQUEST, **change), IDS, NOW)  # type: ignore[arg-type]  # a table
    assert caught.value.code == code


def test_a_target_whose_address_is_unknown_is_refused() -> None:
    silent = replace(TARGET, replication_address="")
    with pytest.raises(RefusedError, match="b1"):
        protections.enable(replace(REQUEST, target=silent), IDS, NOW)


@pytest.mark.parametrize("state", [s for s in ProtectionState if s is not ProtectionState.FAILED])
def test_a_machine_is_protected_once(state: ProtectionState) -> None:
    existing = protection_in(state)
    with pytest.raises(RefusedError) as caught:
        protections.enable(replace(REQUEST, existing=existing), RETRY, NOW)
    assert caught.value.code == "already-protected"


def test_a_failed_protection_is_tried_again_under_its_own_ids() -> None:
    failed = protection_in(ProtectionState.FAILED, cause="x", remedy="y")
    job, decision = protections.enable(replace(REQUEST, existing=failed), RETRY, LATER)
    protection, _ = parts(decision)
    assert (protection.id, protection.generation) == (failed.id, failed.generation)
    assert (protection.state, protection.cause) == (ProtectionState.ENABLING, None)
    assert protection.job_id == job.id == RETRY.job


def test_a_failed_protection_is_not_moved_to_another_target() -> None:
    failed = protection_in(ProtectionState.FAILED, target_host_id=HostId("elsewhere"))
    with pytest.raises(RefusedError) as caught:
        protections.enable(replace(REQUEST, existing=failed), RETRY, NOW)
    assert caught.value.code == "failed-towards-another-target"


def test_each_side_speaks_for_itself_only() -> None:
    protection, _ = enabling()
    protection.check_source(SOURCE.id)
    protection.check_target(TARGET.id)
    for check, host in ((protection.check_source, TARGET), (protection.check_target, SOURCE)):
        with pytest.raises(ForbiddenError):
            check(host.id)


def test_a_point_before_the_sources_outcome_counts_when_that_comes() -> None:
    protection, job = enabling()
    job = job.task_done(NOW)
    assert protection.point_sealed(job, NOW) == NOTHING
    decision = protection.replication_started(job, LATER, has_point=True)
    final_protection, final_job = decision.aggregates[-2:]
    assert isinstance(final_protection, Protection)
    assert isinstance(final_job, Job)
    assert final_protection.state is ProtectionState.PROTECTED
    assert final_job.state is JobState.SUCCEEDED


@pytest.mark.parametrize("state", [ProtectionState.RESYNC_REQUIRED, ProtectionState.FAILED])
def test_a_point_never_makes_a_doubtful_protection_healthy(state: ProtectionState) -> None:
    assert protection_in(state).point_sealed(enabling()[1], LATER) == NOTHING


def test_a_resync_while_enabling_fails_the_job_and_one_later_does_not() -> None:
    protection, job = enabling()
    doubtful, failed = parts(protection.resync_required(job, FAILURE, LATER))
    assert (doubtful.state, doubtful.cause) == (ProtectionState.RESYNC_REQUIRED, "It is full.")
    assert failed.state is JobState.FAILED
    done = job.task_done(NOW).task_done(NOW).task_done(NOW)
    later = protection_in(ProtectionState.PROTECTED).resync_required(done, FAILURE, LATER)
    assert len(later.aggregates) == 1
    assert doubtful.resync_required(failed, FAILURE, LATER) == NOTHING


def test_what_nobody_began_is_gone_when_it_is_withdrawn() -> None:
    protection, job = enabling()
    decision = protection.withdrawn(job, LATER)
    (cancelled,) = decision.aggregates
    assert isinstance(cancelled, Job)
    assert cancelled.state is JobState.CANCELLED
    assert decision.removed == (protection,)
    assert [event.kind for event in decision.events] == [
        EventKind.JOB_CANCELLED,
        EventKind.PROTECTION_REMOVED,
    ]


def test_what_the_target_began_has_failed_when_it_is_withdrawn() -> None:
    protection, job = enabling()
    lost, cancelled = parts(protection.withdrawn(job.task_done(NOW), LATER))
    assert (lost.state, cancelled.state) == (ProtectionState.FAILED, JobState.CANCELLED)
    assert "source host began" in (lost.cause or "")
    assert protections.enable(replace(REQUEST, existing=lost), RETRY, LATER)


def test_a_second_attempt_does_not_forget_what_the_first_one_began() -> None:
    failed = protection_in(ProtectionState.FAILED, cause="x", remedy="y")
    job, decision = protections.enable(replace(REQUEST, existing=failed), RETRY, LATER)
    again = parts(decision)[0].withdrawn(job, LATER)
    assert again.removed == ()
    assert parts(again)[0].state is ProtectionState.FAILED


def test_enabling_gives_the_first_grant_and_every_attempt_a_newer_one() -> None:
    protection, _ = enabling()
    assert protection.grant_version == 1
    assert protection.grant_issued_at == NOW
    assert protection.grant_not_after == NOW + grants.LIFE
    failed = replace(protection, state=ProtectionState.FAILED)
    _, decision = protections.enable(replace(REQUEST, existing=failed), RETRY, LATER)
    assert parts(decision)[0].grant_version == 2
    assert EventKind.GRANT_ISSUED not in [event.kind for event in decision.events]


def test_a_grant_is_needed_from_half_of_its_life_on_but_not_by_what_failed() -> None:
    protection, _ = enabling()
    half = NOW + grants.LIFE * 0.56
    assert not protection.needs_grant(LATER)
    assert protection.needs_grant(half)
    assert not protection.granted(half).needs_grant(half)
    assert protection.granted(half).grant_version == 2
    assert not replace(protection, state=ProtectionState.FAILED).needs_grant(half)


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("state", [state for state in HostState if state != "active"])
def test_a_host_that_is_not_trusted_takes_part_in_no_new_protection(
    side: str, state: HostState
) -> None:
    lost = replace(getattr(REQUEST, side), state=state, remedy="Readmit it.")
    with pytest.raises(RefusedError) as caught:
        protections.enable(replace(REQUEST, **{side: lost}), IDS, NOW)
    assert caught.value.code == f"host-{state}"
    assert caught.value.remedy == "Readmit it."


class Life(RuleBasedStateMachine):
    """Any order of what hosts can cause; the job and the protection tell the same story."""

    def __init__(self) -> None:
        super().__init__()
        self.protection, self.job = enabling()
        self.accepted = self.started = self.has_point = False

    def take(self, decision: Decision) -> None:
        for item in decision.aggregates:
            if isinstance(item, Protection):
                self.protection = item
            if isinstance(item, Job):
                self.job = item

    def is_open(self) -> bool:
        return self.job.state is JobState.RUNNING

    @precondition(lambda self: self.is_open() and not self.accepted)
    @rule()
    def accept(self) -> None:
        self.accepted = True
        self.take(self.protection.replica_accepted(self.job, TARGET, POLICY, OrderId("o"), LATER))

    @precondition(lambda self: self.is_open() and self.accepted and not self.started)
    @rule()
    def start(self) -> None:
        self.started = True
        self.take(self.protection.replication_started(self.job, LATER, has_point=self.has_point))

    @precondition(lambda self: self.is_open() and not self.started)
    @rule()
    def fail(self) -> None:
        self.take(self.protection.failed(self.job, FAILURE, LATER))

    @precondition(lambda self: self.is_open() and not self.started)
    @rule()
    def withdraw(self) -> None:
        decision = self.protection.withdrawn(self.job, LATER)
        self.take(decision)
        assert self.job.state is JobState.CANCELLED
        if decision.removed:
            assert not self.accepted
            self.protection, self.job = enabling()
            self.has_point = False

    @precondition(lambda self: self.protection.state is ProtectionState.FAILED)
    @rule()
    def enable_again(self) -> None:
        self.accepted = self.started = False
        request = replace(REQUEST, existing=self.protection)
        self.take(protections.enable(request, RETRY, LATER)[1])

    @precondition(lambda self: self.accepted)
    @rule()
    def seal_point(self) -> None:
        self.has_point = True
        self.take(self.protection.point_sealed(self.job, LATER))

    @precondition(lambda self: self.accepted)
    @rule()
    def require_resync(self) -> None:
        self.take(self.protection.resync_required(self.job, FAILURE, LATER))

    @invariant()
    def protected_means_started_and_a_point(self) -> None:
        if self.protection.state is ProtectionState.PROTECTED:
            assert self.has_point
            assert self.started
            assert self.job.state is JobState.SUCCEEDED

    @invariant()
    def a_running_job_belongs_to_a_protection_under_way(self) -> None:
        under_way = self.protection.state in {
            ProtectionState.ENABLING,
            ProtectionState.INITIAL_REPLICATION,
        }
        assert under_way == (self.job.state is JobState.RUNNING)

    @invariant()
    def what_is_wrong_has_a_cause(self) -> None:
        is_wrong = self.protection.state in {
            ProtectionState.FAILED,
            ProtectionState.RESYNC_REQUIRED,
        }
        assert is_wrong == (self.protection.cause is not None)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
