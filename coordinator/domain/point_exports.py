"""A disk of a recovery point as a file of its own on the target host, to be carried elsewhere."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

from coordinator.domain import jobs
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import InvalidValueError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.identifiers import JobId, OrderId
from coordinator.domain.job_results import ExportedDisk
from coordinator.domain.jobs import Job, JobKind
from coordinator.domain.orders import ExportPoint, Failure, Order, PointExported
from coordinator.domain.points import RecoveryPoint
from coordinator.domain.protections import Protection
from replikera.export_names import MAX_LENGTH, export_format

TASKS = ("write the disk and read it back",)

MAX_DISK = 255
"""More disks than a machine can have."""


@dataclass(frozen=True, slots=True)
class ExportWish:
    """What an operator asks for: a disk by its place, from 0, and the name of its file."""

    disk: int
    file_name: str


@dataclass(frozen=True, slots=True)
class ExportIds:
    """Ids for what ordering an export creates."""

    job: JobId
    order: OrderId


def start(
    protection: Protection, point: RecoveryPoint, wish: ExportWish, ids: ExportIds, now: datetime
) -> tuple[Job, Decision]:
    """Decide that the target writes a disk of a point. Raises `InvalidValueError`."""
    _check(wish)
    job = jobs.start(
        ids.job,
        JobKind.EXPORT_POINT,
        protection.machine_name,
        TASKS,
        now,
        protection_id=protection.id,
    )
    action = ExportPoint(protection.id, point.generation, point.sequence, wish.disk, wish.file_name)
    order = Order(ids.order, job.id, protection.target_host_id, now, action)
    event = Event(now, EventKind.POINT_EXPORT_REQUESTED, protection.id, _told(job, action))
    return job, Decision((job,), (order,), (event,))


def exported(job: Job, action: ExportPoint, outcome: PointExported, now: datetime) -> Decision:
    """Decide that the file is there: the job keeps where, and what was read back."""
    if PurePath(outcome.path).name != action.file_name:
        return failed(job, action, _not_read_back(outcome), now)
    result = ExportedDisk(action.generation, action.sequence, outcome.path, outcome.disk)
    event = Event(now, EventKind.POINT_EXPORTED, action.protection_id, _told(job, action))
    return Decision((job.task_done(now, result),), (), (event,))


def failed(job: Job, action: ExportPoint, failure: Failure, now: datetime) -> Decision:
    """Decide that there is no such file."""
    detail = f"{_told(job, action)}: {failure.code}: {failure.cause}"
    event = Event(now, EventKind.POINT_EXPORT_FAILED, action.protection_id, detail)
    return Decision((job.failed(failure, now),), (), (event,))


def withdrawn(job: Job, now: datetime) -> Decision:
    """Decide what follows when the target never began to write."""
    cancelled = job.cancelled(now)
    return Decision((cancelled,), (), (cancelled.cancelled_event(now),))


def _not_read_back(outcome: PointExported) -> Failure:
    return Failure(
        "not-read-back",
        f"The host says that it wrote {outcome.path or 'no file'}, which was not ordered.",
        "Update the host's agent to the version of the vault, and export the point again.",
    )


def _check(wish: ExportWish) -> None:
    if export_format(wish.file_name) is None:
        raise InvalidValueError(
            "invalid-file-name",
            f"{wish.file_name[:MAX_LENGTH]!r} is no name for a disk's file.",
            f"Use letters, digits, dots, dashes, underscores and spaces, at most {MAX_LENGTH}, without a folder, "
            "ending in .vhdx or .raw.",
            field="file_name",
        )
    if not 0 <= wish.disk <= MAX_DISK:
        raise InvalidValueError(
            "invalid-disk",
            f"{wish.disk} is no place in the list of disks.",
            f"Count the disks of the machine from 0; at most {MAX_DISK}.",
            field="disk",
        )


def _told(job: Job, action: ExportPoint) -> str:
    return f"{job.subject}, point {action.sequence}, disk {action.disk} to {action.file_name}"
