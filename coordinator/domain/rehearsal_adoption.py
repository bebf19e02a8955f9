"""Test failovers that only their host knows: the vault was restored from a copy that is older than they are."""

from datetime import datetime

from coordinator.domain import jobs
from coordinator.domain.decisions import Decision
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hello import HeldRehearsal
from coordinator.domain.identifiers import JobId
from coordinator.domain.jobs import JobKind
from coordinator.domain.orders import Failure
from coordinator.domain.protections import Protection
from coordinator.domain.rehearsals import (
    DEFAULT_LENGTH,
    START_TASKS,
    Rehearsal,
    RehearsalState,
)

KNOWN_TO_ITS_HOST = Failure(
    "known-to-its-host",
    "The vault was restored from a copy that is older than this test failover: its host alone knows of it.",
    "Clean it up: replikera test-failover cleanup VM.",
)


def adopt(protection: Protection, held: HeldRehearsal, job_id: JobId, now: datetime) -> Decision:
    """Decide that what the protection's target holds and the vault does not know is there, to be cleaned up.

    What became of its start is not known, so it has failed. Its time begins anew.
    """
    job = jobs.start(
        job_id,
        JobKind.START_TEST_FAILOVER,
        protection.machine_name,
        START_TASKS,
        now,
        protection_id=protection.id,
        rehearsal_id=held.rehearsal_id,
    )
    rehearsal = Rehearsal(
        held.rehearsal_id,
        protection.id,
        job.id,
        RehearsalState.FAILED,
        held.generation,
        held.sequence,
        held.machine_name,
        (),
        now,
        "",
        now + DEFAULT_LENGTH,
        cause=KNOWN_TO_ITS_HOST.cause,
        remedy=KNOWN_TO_ITS_HOST.remedy,
    )
    event = Event(now, EventKind.TEST_FAILOVER_FOUND, rehearsal.id, held.machine_name)
    return Decision((rehearsal, job.failed(KNOWN_TO_ITS_HOST, now)), (), (event,))
