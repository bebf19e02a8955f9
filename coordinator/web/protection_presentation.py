"""Protections, their points, test failovers and jobs: domain to answers."""

from typing import Any

from coordinator.domain.job_results import (
    DigestedPoint,
    JobResult,
    RemovedReplica,
    VerifiedReplica,
)
from coordinator.domain.jobs import Job
from coordinator.domain.orders import Failure
from coordinator.domain.points import RecoveryPoint
from coordinator.domain.rehearsals import Rehearsal
from coordinator.domain.replication import ReplicationReport, Verification
from coordinator.orchestration.status import Progress, ProtectionStatus, replication_progress
from coordinator.web import protection_answers as answers
from coordinator.web.point_answers import DigestedPointAnswer, PointName
from coordinator.web.point_presentation import digested_point


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
        progress=progress(replication_progress(shown, status.report)),
        test_failover=(
            answers.LastTestFailover(id=rehearsal.id, state=rehearsal.state)
            if rehearsal is not None
            else None
        ),
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
        done_bytes=shown.done_bytes, total_bytes=shown.total_bytes, rate=shown.rate
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
) -> DigestedPointAnswer | answers.VerifiedReplicaAnswer | answers.RemovedReplicaAnswer | None:
    match shown:
        case DigestedPoint():
            return digested_point(shown)
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
