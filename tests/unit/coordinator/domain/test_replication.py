from dataclasses import replace
from datetime import timedelta

from coordinator.domain.identifiers import ProtectionId
from coordinator.domain.orders import Failure
from coordinator.domain.replication import ReplicationReport, ReplicationState
from tests.unit.coordinator.examples import NOW

REPORT = ReplicationReport(
    ProtectionId("p"), ReplicationState.REPLICATING, None, 1, 2, 3.0, None, 0, NOW
)


def test_only_another_state_or_failure_tells_more() -> None:
    assert REPORT.tells_more_than(None)
    moved = replace(REPORT, done_bytes=2, reported_at=NOW + timedelta(hours=1))
    assert not moved.tells_more_than(REPORT)
    assert replace(REPORT, state=ReplicationState.WAITING).tells_more_than(REPORT)
    failed = replace(REPORT, failure=Failure("x", "y", "z"))
    assert failed.tells_more_than(REPORT)
    assert REPORT.tells_more_than(failed)
