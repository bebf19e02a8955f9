from dataclasses import replace
from datetime import timedelta

from coordinator.domain.identifiers import ProtectionId
from coordinator.domain.orders import Failure
from coordinator.domain.replication import ReplicationReport, ReplicationState, Verification
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


def test_a_warning_and_the_end_of_a_comparison_tell_more() -> None:
    assert replace(REPORT, warning=Failure("x", "y", "z")).tells_more_than(REPORT)
    going = replace(REPORT, verification=Verification("v", 1, 2, 0, False, None))
    further = replace(REPORT, verification=Verification("v", 2, 2, 0, False, None))
    ended = replace(REPORT, verification=Verification("v", 2, 2, 0, True, NOW))
    assert not further.tells_more_than(going)
    assert ended.tells_more_than(further)
    assert not replace(REPORT, sent_bytes=9).tells_more_than(REPORT)


def test_the_first_equal_sample_tells_more_lest_a_restarted_vault_says_never() -> None:
    first = replace(REPORT, compared_at=NOW)
    later = replace(first, compared_at=NOW + timedelta(seconds=4))
    assert first.tells_more_than(REPORT)
    assert not later.tells_more_than(first)
