from datetime import UTC, datetime

from agent.source.status import VerificationStatus


def test_a_verification_is_finished_when_it_says_when() -> None:
    running = VerificationStatus("v", 1, 2, 0, None)
    assert not running.is_finished
    assert VerificationStatus("v", 2, 2, 0, datetime(2026, 1, 1, tzinfo=UTC)).is_finished
