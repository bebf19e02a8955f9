from dataclasses import replace
from datetime import timedelta

from coordinator.domain.health import Health, HealthLevel
from coordinator.domain.identifiers import JobId, MachineId, RehearsalId
from coordinator.domain.orders import GuestReport, Measurement, NicConnection, RecoveredDisk
from coordinator.domain.protections import ProtectionState
from coordinator.domain.readiness import Readiness, Verdict
from coordinator.domain.rehearsals import Rehearsal, RehearsalState
from coordinator.orchestration.progress import Progress
from coordinator.orchestration.status import ProtectionStatus
from coordinator.web import protection_presentation as presentation
from tests.unit.coordinator.examples import (
    LATER,
    NOW,
    POLICY,
    SOURCE,
    TARGET,
    enabling,
    protection_in,
    recovery_point,
)

PROTECTION = protection_in(ProtectionState.PROTECTED, grant_version=0, grant_not_after=None)
REHEARSAL = Rehearsal(
    RehearsalId("r"),
    PROTECTION.id,
    JobId("j"),
    RehearsalState.CLEANED_UP,
    PROTECTION.generation,
    4,
    "web - test",
    (NicConnection("n", ""),),
    NOW,
    "mapped",
    LATER,
    MachineId("m"),
    (RecoveredDisk("d", "/r", 9),),
    (Measurement("boot", 1.5),),
    GuestReport(is_healthy=True, summary="ok", records=2),
    ("web - test",),
    "fine",
    was_started=True,
    cleaned_up_at=LATER,
)


def test_a_protection_is_shown_with_health_lag_and_newest_point() -> None:
    granted = replace(PROTECTION, grant_version=3, grant_not_after=LATER)
    status = ProtectionStatus(
        granted,
        SOURCE,
        TARGET,
        POLICY,
        Health(HealthLevel.WARNING, "Cause.", "Remedy."),
        recovery_point(4),
        timedelta(seconds=2.5),
        None,
        REHEARSAL,
        None,
        Readiness(Verdict.YES, "Its newest point 4 is 3 s old.", timedelta(seconds=2.5)),
        REHEARSAL,
    )
    shown = presentation.protection(status)
    assert (shown.name, shown.source_host, shown.target_host) == ("web", "a1", "b1")
    assert (shown.policy, shown.health, shown.cause) == ("quick", "warning", "Cause.")
    assert (shown.lag_seconds, shown.epoch_number) == (2.5, 1)
    assert shown.newest_point is not None
    assert shown.newest_point.sequence == 4
    assert shown.test_failover is not None
    assert shown.test_failover.state == "cleaned-up"
    assert shown.grant is not None
    assert (shown.grant.version, shown.grant.not_after) == (3, LATER)
    assert shown.rpo_critical_seconds > shown.rpo_target_seconds
    assert shown.failover_now.model_dump(mode="json") == {
        "answer": "yes",
        "reason": "Its newest point 4 is 3 s old.",
        "newest_point_age_seconds": 2.5,
    }
    assert shown.last_proved is not None
    assert (shown.last_proved.test_failover, shown.last_proved.ended_at) == ("r", LATER)
    assert (shown.last_proved.point.generation, shown.last_proved.point.sequence) == ("gen-1", 4)


def test_what_is_not_known_of_a_protection_is_null() -> None:
    unknown = ProtectionStatus(
        PROTECTION,
        SOURCE,
        TARGET,
        POLICY,
        Health(HealthLevel.UNKNOWN),
        None,
        None,
        None,
        None,
        None,
        Readiness(Verdict.UNKNOWN, "Away."),
        None,
    )
    blank = presentation.protection(unknown)
    assert (blank.newest_point, blank.lag_seconds, blank.test_failover) == (None, None, None)
    assert blank.grant is None
    assert blank.last_proved is None
    assert (blank.failover_now.answer, blank.failover_now.newest_point_age_seconds) == (
        "unknown",
        None,
    )


def test_a_test_failover_is_shown_whole() -> None:
    shown = presentation.rehearsal(REHEARSAL, "web")
    assert (shown.protection, shown.point.sequence) == ("web", 4)
    assert shown.is_successful
    assert shown.cleaned_up_at == LATER
    assert shown.model_dump(mode="json")["disks"] == [{"disk_id": "d", "path": "/r", "size": 9}]
    assert [(nic.nic_id, nic.network) for nic in shown.nics] == [("n", "")]
    assert shown.guest is not None
    assert shown.guest.records == 2
    assert [(step.name, step.seconds) for step in shown.steps] == [("boot", 1.5)]
    assert (shown.removed, shown.notes) == (["web - test"], "fine")


def test_a_job_is_shown_with_its_tasks_progress_and_what_may_be_done() -> None:
    job = enabling()[1]
    shown = presentation.job(job, Progress(1, 2, 3.0, NOW))
    assert [task.state for task in shown.tasks] == ["running", "waiting", "waiting"]
    assert shown.progress is not None
    assert (shown.progress.done_bytes, shown.progress.rate) == (1, 3.0)
    assert (shown.allowed_actions, shown.cancel_requested_at) == (["cancel"], None)
    assert shown.result is None
    asked = presentation.job(job.cancel((), LATER)[0], None)
    assert (asked.progress, asked.allowed_actions) == (None, [])
    assert asked.cancel_requested_at == LATER
