import pytest

from coordinator.domain import verifications
from coordinator.domain.errors import IllegalTransitionError
from coordinator.domain.identifiers import JobId, OrderId
from coordinator.domain.job_results import VerifiedReplica
from coordinator.domain.jobs import Job
from coordinator.domain.protection_changes import ChangeIds
from coordinator.domain.protections import ProtectionState
from coordinator.domain.replication import Verification
from tests.unit.coordinator.examples import LATER, NOW, SOURCE, protection_in

CHANGE_IDS = ChangeIds(JobId("verify"), OrderId("verify-order"))
PROTECTED = protection_in(ProtectionState.PROTECTED)


def ended(differing: int) -> Verification:
    return Verification("verify", 10, 10, differing, is_finished=True, finished_at=LATER)


def begun() -> Job:
    return verifications.start(PROTECTED, SOURCE, None, CHANGE_IDS, NOW)[0]


@pytest.mark.parametrize("state", sorted(set(ProtectionState) - {ProtectionState.PROTECTED}))
def test_only_what_is_protected_is_verified(state: ProtectionState) -> None:
    with pytest.raises(IllegalTransitionError) as caught:
        verifications.start(protection_in(state), SOURCE, None, CHANGE_IDS, NOW)
    assert caught.value.code == "not-verifiable"


def test_an_end_that_was_told_before_the_start_was_counts() -> None:
    decision = verifications.started(PROTECTED, begun(), ended(0), LATER)
    last = decision.aggregates[-1]
    assert isinstance(last, Job)
    assert (last.state, last.result) == ("succeeded", VerifiedReplica(10, 0))


def test_bytes_that_differ_fail_the_job() -> None:
    (failed,) = verifications.reported(begun().task_done(NOW), ended(3), LATER).aggregates
    assert isinstance(failed, Job)
    assert failed.state == "failed"
    assert "3 of 10 bytes" in (failed.cause or "")


def test_a_report_before_the_start_was_told_waits() -> None:
    assert verifications.reported(begun(), ended(0), LATER).aggregates == ()
