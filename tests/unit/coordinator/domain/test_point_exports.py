import pytest

from coordinator.domain import point_exports
from coordinator.domain.errors import InvalidValueError
from coordinator.domain.identifiers import JobId, OrderId
from coordinator.domain.job_results import ExportedDisk
from coordinator.domain.jobs import Job, JobKind
from coordinator.domain.orders import DiskDigest, ExportPoint, Failure, Order, PointExported
from coordinator.domain.point_exports import MAX_DISK, ExportIds, ExportWish
from coordinator.domain.protections import ProtectionState
from tests.unit.coordinator.examples import LATER, NOW, TARGET, protection_in, recovery_point

PROTECTION = protection_in(ProtectionState.PROTECTED)
IDS = ExportIds(JobId("j"), OrderId("o"))
JOB, DECISION = point_exports.start(
    PROTECTION, recovery_point(7), ExportWish(1, "web.raw"), IDS, NOW
)
ACTION = ExportPoint(PROTECTION.id, PROTECTION.generation, 7, 1, "web.raw")
DISK = DiskDigest("disk-1", "system.vhdx", 1 << 30, "ab" * 32)


def test_the_target_is_told_which_disk_goes_where() -> None:
    assert DECISION.orders == (Order(OrderId("o"), JobId("j"), TARGET.id, NOW, ACTION),)
    assert (JOB.kind, JOB.subject) == (JobKind.EXPORT_POINT, "web")
    assert DECISION.events[0].detail == "web, point 7, disk 1 to web.raw"


def test_the_job_keeps_where_the_file_is_and_what_it_holds() -> None:
    decision = point_exports.exported(JOB, ACTION, PointExported("/e/web.raw", DISK), LATER)
    (job,) = decision.aggregates
    assert isinstance(job, Job)
    assert job.result == ExportedDisk(PROTECTION.generation, 7, "/e/web.raw", DISK)
    assert [event.kind for event in decision.events] == ["point-exported"]


@pytest.mark.parametrize("path", ["", "/e/other.raw", "/e/web.raw/x"])
def test_another_file_than_the_ordered_one_is_no_success(path: str) -> None:
    decision = point_exports.exported(JOB, ACTION, PointExported(path, DISK), LATER)
    (job,) = decision.aggregates
    assert isinstance(job, Job)
    assert (job.state, job.result) == ("failed", None)
    assert "not-read-back" in decision.events[0].detail


def test_a_failure_is_told_and_nothing_else() -> None:
    decision = point_exports.failed(JOB, ACTION, Failure("full", "Full.", "Free."), LATER)
    (job,) = decision.aggregates
    assert isinstance(job, Job)
    assert (job.state, job.cause) == ("failed", "Full.")
    assert decision.events[0].detail.endswith("to web.raw: full: Full.")


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (ExportWish(0, "web"), "file_name"),
        (ExportWish(0, "../web.raw"), "file_name"),
        (ExportWish(-1, "web.raw"), "disk"),
        (ExportWish(MAX_DISK + 1, "web.raw"), "disk"),
    ],
)
def test_what_cannot_be_is_refused(wish: ExportWish, field: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        point_exports.start(PROTECTION, recovery_point(7), wish, IDS, NOW)
    assert caught.value.field == field
