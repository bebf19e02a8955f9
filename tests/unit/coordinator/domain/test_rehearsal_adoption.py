from coordinator.domain.events import EventKind
from coordinator.domain.hello import HeldRehearsal
from coordinator.domain.identifiers import (
    Generation,
    JobId,
    OrderId,
    ProtectionId,
    RehearsalId,
)
from coordinator.domain.jobs import Job, JobState
from coordinator.domain.orders import CleanUpRehearsal
from coordinator.domain.protections import ProtectionState
from coordinator.domain.rehearsal_adoption import adopt
from coordinator.domain.rehearsals import DEFAULT_LENGTH, Rehearsal, RehearsalState
from tests.unit.coordinator.examples import LATER, NOW, protection_in

PROTECTION = protection_in(ProtectionState.PROTECTED)
HELD = HeldRehearsal(RehearsalId("r1"), ProtectionId("p"), Generation("g"), 4, "web - test")


def test_what_only_its_host_knows_has_failed_and_can_be_cleaned_up() -> None:
    decision = adopt(PROTECTION, HELD, JobId("j1"), NOW)
    rehearsal, job = decision.aggregates
    assert isinstance(rehearsal, Rehearsal)
    assert isinstance(job, Job)
    assert (rehearsal.id, rehearsal.protection_id) == ("r1", PROTECTION.id)
    assert (rehearsal.state, rehearsal.sequence) == (RehearsalState.FAILED, 4)
    assert (rehearsal.created_at, rehearsal.ends_at) == (NOW, NOW + DEFAULT_LENGTH)
    assert rehearsal.cause == job.cause
    assert (job.id, job.state, job.rehearsal_id) == ("j1", JobState.FAILED, "r1")
    assert decision.orders == ()
    assert [event.kind for event in decision.events] == [EventKind.TEST_FAILOVER_FOUND]
    _, clean_up = rehearsal.clean_up(PROTECTION, "", JobId("j9"), OrderId("o"), LATER)
    assert clean_up.orders[0].action == CleanUpRehearsal(rehearsal.id, PROTECTION.id)
