"""Recovery points: domain to answers."""

from datetime import timedelta

from coordinator.domain.job_results import DigestedPoint, ExportedDisk, NamedPoint
from coordinator.domain.orders import DiskDigest
from coordinator.domain.retention import KeptPoint
from coordinator.orchestration.points import RetentionStatus
from coordinator.web import point_answers as answers


def point(shown: KeptPoint) -> answers.PointAnswer:
    """Return a recovery point."""
    held = shown.point
    return answers.PointAnswer(
        id=f"{held.generation}:{held.sequence}",
        generation=held.generation,
        sequence=held.sequence,
        kind=held.kind,
        name=held.name,
        capture_started_at=held.capture_started_at,
        capture_ended_at=held.capture_ended_at,
        sealed_at=held.sealed_at,
        payload_bytes=held.payload_bytes,
        retained_until=shown.retained_until,
        is_doubtful=held.is_doubtful,
    )


def retention(status: RetentionStatus) -> answers.RetentionAnswer:
    """Return how far back points reach."""
    held = status.held
    return answers.RetentionAnswer(
        policy=status.policy.name,
        retention_hours=status.policy.retention // timedelta(hours=1),
        count=held.count,
        payload_bytes=held.payload_bytes,
        oldest=_if_any(held.oldest),
        newest=_if_any(held.newest),
        newest_application_consistent=_if_any(held.newest_application_consistent),
    )


def digested_point(shown: DigestedPoint) -> answers.DigestedPointAnswer:
    """Return what a whole point holds."""
    return answers.DigestedPointAnswer(
        point=answers.PointName(generation=shown.generation, sequence=shown.sequence),
        disks=[_disk(disk) for disk in shown.disks],
    )


def exported_disk(shown: ExportedDisk) -> answers.ExportedDiskAnswer:
    """Return where a disk of a point was written."""
    return answers.ExportedDiskAnswer(
        point=answers.PointName(generation=shown.generation, sequence=shown.sequence),
        path=shown.path,
        disk=_disk(shown.disk),
    )


def named_point(shown: NamedPoint) -> answers.NamedPointAnswer:
    """Return the point that was given a name."""
    return answers.NamedPointAnswer(
        point=answers.PointName(generation=shown.generation, sequence=shown.sequence),
        name=shown.name,
    )


def _disk(shown: DiskDigest) -> answers.DiskDigestAnswer:
    return answers.DiskDigestAnswer(
        disk_id=shown.disk_id, name=shown.name, size=shown.size, sha256=shown.sha256
    )


def _if_any(shown: KeptPoint | None) -> answers.PointAnswer | None:
    return point(shown) if shown is not None else None
