"""Protections, their points, test failovers and jobs: domain to answers."""

from typing import Any

from coordinator.domain.health import critical_lag
from coordinator.domain.job_results import (
    DigestedPoint,
    ExportedDisk,
    JobResult,
    NamedPoint,
    RemovedReplica,
    VerifiedReplica,
)
from coordinator.domain.jobs import Job
from coordinator.domain.orders import Failure
from coordinator.domain.points import RecoveryPoint
from coordinator.domain.readiness import Readiness
from coordinator.domain.rehearsals import Rehearsal
from coordinator.domain.replication import ReplicationReport, Verification
from coordinator.orchestration.progress import Progress
from coordinator.orchestration.rehearsals import RehearsalPlan
from coordinator.orchestration.status import ProtectionStatus
from coordinator.web import protection_answers as answers
from coordinator.web.mapping_presentation import nic_placement
from coordinator.web.point_answers import PointName
from coordinator.web.point_presentation import digested_point, exported_disk, named_point


def protection(status: ProtectionStatus) -> answers.ProtectionAnswer:
    """Return a protection."""
    shown, rehearsal = status.protection, status.rehearsal
    return answers.ProtectionAnswer(
        id=shown.id,
        name=shown.machine_name,
        machine_id=shown.machine_id,
        source_host=status.source.name,
        target_host=status.target.name,
        policy=status.policy.name,
        state=shown.state,
        health=status.health.level,
        cause=status.health.cause,
        remedy=status.health.remedy,
        generation=shown.generation,
        epoch_number=shown.epoch_number,
        newest_point=_newest(status.newest_point),
        lag_seconds=status.lag.total_seconds() if status.lag is not None else None,
        progress=progress(status.progress),
        test_failover=(
            answers.LastTestFailover(id=rehearsal.id, state=rehearsal.state)
            if rehearsal is not None
            else None
        ),
        failover_now=_failover_now(status.readiness),
        last_proved=_last_proved(status.last_success),
        grant=(
            answers.GrantAnswer(version=shown.grant_version, not_after=shown.grant_not_after)
            if shown.grant_not_after is not None
            else None
        ),
        is_paused=shown.is_paused,
        excluded_disks=list(shown.excluded_disk_ids),
        seeds=[
            answers.SeedAnswer(disk=seed.disk_name, file=seed.file_name) for seed in shown.seeds
        ],
        storage_folder=shown.storage_folder,
        replica_path=shown.replica_path or None,
        rpo_target_seconds=status.policy.promised_rpo.total_seconds(),
        rpo_critical_seconds=critical_lag(status.policy.promised_rpo).total_seconds(),
        **_reported(status.report),
    )


def rehearsal(shown: Rehearsal, machine_name: str) -> answers.TestFailoverAnswer:
    """Return a test failover of the machine with that name."""
    guest = shown.guest
    return answers.TestFailoverAnswer(
        id=shown.id,
        protection=machine_name,
        point=PointName(generation=shown.generation, sequence=shown.sequence),
        machine_name=shown.machine_name,
        machine_id=shown.machine_id,
        state=shown.state,
        disks=[
            answers.RecoveredDiskAnswer(disk_id=disk.disk_id, path=disk.path, size=disk.size)
            for disk in shown.disks
        ],
        nics=[
            answers.NicConnectionAnswer(nic_id=nic.nic_id, network=nic.network)
            for nic in shown.nics
        ],
        guest=(
            answers.GuestAnswer(
                is_healthy=guest.is_healthy, summary=guest.summary, records=guest.records
            )
            if guest is not None
            else None
        ),
        steps=[answers.StepAnswer(name=step.name, seconds=step.seconds) for step in shown.steps],
        removed=list(shown.removed),
        notes=shown.notes,
        is_successful=shown.is_successful,
        cause=shown.cause,
        remedy=shown.remedy,
        created_at=shown.created_at,
        network=shown.network,
        ends_at=shown.ends_at,
        cleaned_up_at=shown.cleaned_up_at,
    )


def rehearsal_plan(shown: RehearsalPlan) -> answers.TestFailoverPlanAnswer:
    """Return what a test failover would do."""
    point = shown.point
    loss = shown.expected_loss
    return answers.TestFailoverPlanAnswer(
        protection=shown.protection.machine_name,
        target_host=shown.target.name,
        storage_path=shown.target.storage_path,
        point=PointName(generation=point.generation, sequence=point.sequence),
        captured_at=point.capture_started_at,
        expected_loss_seconds=None if loss is None else loss.total_seconds(),
        nics=[nic_placement(nic) for nic in shown.networks.nics],
        created_networks=list(shown.networks.created),
    )


def job(shown: Job, done: Progress | None) -> answers.JobAnswer:
    """Return a job."""
    return answers.JobAnswer(
        id=shown.id,
        kind=shown.kind,
        subject=shown.subject,
        protection_id=shown.protection_id,
        state=shown.state,
        tasks=[
            answers.TaskAnswer(name=task.name, state=task.state, detail=task.detail)
            for task in shown.tasks
        ],
        cause=shown.cause,
        remedy=shown.remedy,
        created_at=shown.created_at,
        cancel_requested_at=shown.cancel_requested_at,
        finished_at=shown.finished_at,
        progress=progress(done),
        result=_result(shown.result),
        allowed_actions=list(shown.allowed_actions),
    )


def progress(shown: Progress | None) -> answers.ProgressAnswer | None:
    """Return how far something is."""
    if shown is None:
        return None
    return answers.ProgressAnswer(
        done_bytes=shown.done_bytes,
        total_bytes=shown.total_bytes,
        rate=shown.rate,
        reported_at=shown.reported_at,
    )


def _failover_now(shown: Readiness) -> answers.FailoverNowAnswer:
    age = shown.point_age
    return answers.FailoverNowAnswer(
        answer=shown.verdict,
        reason=shown.reason,
        newest_point_age_seconds=age.total_seconds() if age is not None else None,
    )


def _last_proved(shown: Rehearsal | None) -> answers.LastProvedAnswer | None:
    if shown is None:
        return None
    return answers.LastProvedAnswer(
        test_failover=shown.id,
        point=PointName(generation=shown.generation, sequence=shown.sequence),
        ended_at=shown.cleaned_up_at,
    )


def _reported(report: ReplicationReport | None) -> dict[str, Any]:
    """Return what the source told last, if it ever did."""
    if report is None:
        return {"sent_bytes": None, "verification": None, "compared_at": None, "warning": None}
    return {
        "sent_bytes": report.sent_bytes,
        "verification": _verification(report.verification),
        "compared_at": report.compared_at,
        "warning": _warning(report.warning),
    }


def _verification(shown: Verification | None) -> answers.VerificationAnswer | None:
    if shown is None:
        return None
    return answers.VerificationAnswer(
        verification_id=shown.verification_id,
        checked_bytes=shown.checked_bytes,
        total_bytes=shown.total_bytes,
        differing_bytes=shown.differing_bytes,
        is_finished=shown.is_finished,
        finished_at=shown.finished_at,
    )


def _warning(shown: Failure | None) -> answers.WarningAnswer | None:
    if shown is None:
        return None
    return answers.WarningAnswer(code=shown.code, cause=shown.cause, remedy=shown.remedy)


def _result(
    shown: JobResult | None,
) -> answers.JobResultAnswer | None:
    match shown:
        case DigestedPoint():
            return digested_point(shown)
        case ExportedDisk():
            return exported_disk(shown)
        case NamedPoint():
            return named_point(shown)
        case VerifiedReplica():
            return answers.VerifiedReplicaAnswer(
                checked_bytes=shown.checked_bytes, differing_bytes=shown.differing_bytes
            )
        case RemovedReplica():
            return answers.RemovedReplicaAnswer(kept_paths=list(shown.kept_paths))
        case None:
            return None


def _newest(shown: RecoveryPoint | None) -> answers.NewestPoint | None:
    if shown is None:
        return None
    return answers.NewestPoint(sequence=shown.sequence, capture_started_at=shown.capture_started_at)
