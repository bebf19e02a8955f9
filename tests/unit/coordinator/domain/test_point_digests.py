import pytest

from coordinator.domain import point_digests
from coordinator.domain.errors import IllegalTransitionError
from coordinator.domain.events import EventKind
from coordinator.domain.identifiers import JobId, OrderId
from coordinator.domain.job_results import DigestedPoint
from coordinator.domain.jobs import Job, JobKind, JobState
from coordinator.domain.orders import DigestPoint, DiskDigest, Failure, Order, PointDigests
from coordinator.domain.point_digests import DigestIds
from coordinator.domain.protections import ProtectionState
from tests.unit.coordinator.examples import LATER, NOW, TARGET, protection_in, recovery_point

PROTECTION = protection_in(ProtectionState.PROTECTED)
IDS = DigestIds(JobId("j"), OrderId("o"))
JOB, DECISION = point_digests.start(PROTECTION, recovery_point(7), None, IDS, NOW)
ACTION = DigestPoint(PROTECTION.id, PROTECTION.generation, 7)
DISKS = (DiskDigest("disk-1", "system.vhdx", 1 << 30, "ab" * 32),)


def job_of(aggregates: tuple[object, ...]) -> Job:
    (job,) = aggregates
    assert isinstance(job, Job)
    return job


def test_the_target_is_told_which_point_to_read() -> None:
    assert DECISION.orders == (Order(OrderId("o"), JobId("j"), TARGET.id, NOW, ACTION),)
    assert (JOB.kind, JOB.subject, JOB.state) == (JobKind.DIGEST_POINT, "web", JobState.RUNNING)
    (event,) = DECISION.events
    assert (event.subject, event.detail) == (PROTECTION.id, "web, point 7")


def test_one_point_of_a_protection_is_read_at_a_time() -> None:
    with pytest.raises(IllegalTransitionError) as caught:
        point_digests.start(PROTECTION, recovery_point(8), JOB, IDS, NOW)
    assert caught.value.code == "digest-running"
    assert f"replikera job cancel {JOB.id}" in caught.value.remedy


def test_the_job_keeps_what_was_read() -> None:
    decision = point_digests.digested(JOB, ACTION, PointDigests(DISKS), LATER)
    job = job_of(decision.aggregates)
    assert (job.state, job.finished_at) == (JobState.SUCCEEDED, LATER)
    assert job.result == DigestedPoint(PROTECTION.generation, 7, DISKS)
    assert decision.events[0].kind is EventKind.POINT_DIGESTED


def test_a_host_that_tells_of_no_disk_has_read_nothing() -> None:
    decision = point_digests.digested(JOB, ACTION, PointDigests(()), LATER)
    job = job_of(decision.aggregates)
    assert (job.state, job.result) == (JobState.FAILED, None)
    assert decision.events[0].kind is EventKind.POINT_DIGEST_FAILED


def test_a_failure_is_shown_as_the_host_tells_it() -> None:
    failure = Failure("unknown-point", "The point is gone.", "Choose another.")
    decision = point_digests.failed(JOB, ACTION, failure, LATER)
    job = job_of(decision.aggregates)
    assert (job.state, job.cause, job.remedy) == (
        JobState.FAILED,
        failure.cause,
        failure.remedy,
    )
    assert decision.events[0].detail == "web, point 7: unknown-point: The point is gone."


def test_a_withdrawn_order_leaves_nothing_but_the_cancelled_job() -> None:
    decision = point_digests.withdrawn(JOB, LATER)
    assert job_of(decision.aggregates).state is JobState.CANCELLED
    assert [event.kind for event in decision.events] == [EventKind.JOB_CANCELLED]
