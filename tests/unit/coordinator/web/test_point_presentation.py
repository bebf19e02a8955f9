from coordinator.domain.identifiers import Generation
from coordinator.domain.job_results import DigestedPoint
from coordinator.domain.orders import DiskDigest
from coordinator.domain.retention import KeptPoint, PointsHeld
from coordinator.orchestration.points import RetentionStatus
from coordinator.web import point_presentation as presentation
from tests.unit.coordinator.examples import LATER, POLICY, recovery_point


def test_a_point_is_shown_whole() -> None:
    shown = presentation.point(KeptPoint(recovery_point(4), LATER))
    assert (shown.id, shown.generation, shown.sequence) == ("gen-1:4", "gen-1", 4)
    assert (shown.kind, shown.payload_bytes) == ("crash-consistent", 4096)
    assert shown.retained_until == LATER


def test_retention_is_shown_in_the_units_of_the_api() -> None:
    kept = KeptPoint(recovery_point(4), None)
    shown = presentation.retention(RetentionStatus(POLICY, PointsHeld(1, 4096, kept, kept, None)))
    assert (shown.policy, shown.retention_hours, shown.count) == ("quick", 1, 1)
    assert shown.oldest == shown.newest == presentation.point(kept)
    assert shown.newest_application_consistent is None


def test_digests_name_their_point() -> None:
    disk = DiskDigest("d", "os.vhdx", 5, "ab" * 32)
    shown = presentation.digested_point(DigestedPoint(Generation("g"), 3, (disk,)))
    assert (shown.point.generation, shown.point.sequence) == ("g", 3)
    assert [(item.disk_id, item.name, item.size, item.sha256) for item in shown.disks] == [
        ("d", "os.vhdx", 5, "ab" * 32)
    ]
