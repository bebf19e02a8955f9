r"""Rehearsals: test failovers of one point of a protection, beside its replica.

    starting -> started -> cleaning-up -> cleaned-up
        \_-> failed ___/       \_-> failed

A protection has at most one rehearsal that is not cleaned up. A failed one is cleaned up as well: it may have left
something. It was successful only if its start and its clean-up both were. A start that was withdrawn before the host
began leaves nothing to clean up, a clean-up that was withdrawn leaves the rehearsal as it was before. One that stands
at its end is cleaned up by the vault.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from coordinator.domain import jobs
from coordinator.domain.aggregates import Aggregate
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import IllegalTransitionError, InvalidValueError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import (
    MAX_NAME_LENGTH,
    Generation,
    JobId,
    MachineId,
    OrderId,
    ProtectionId,
    RehearsalId,
)
from coordinator.domain.jobs import Job, JobKind
from coordinator.domain.orders import (
    CleanUpRehearsal,
    Failure,
    GuestReport,
    Measurement,
    NicConnection,
    Order,
    RecoveredDisk,
    RehearsalCleanedUp,
    RehearsalStarted,
    StartRehearsal,
)
from coordinator.domain.point_selection import PointSelector
from coordinator.domain.points import RecoveryPoint
from coordinator.domain.protection_changes import check_trusted
from coordinator.domain.protections import Protection, ProtectionState
from coordinator.domain.rehearsal_placement import RehearsalNetworks

GUEST_TIMEOUT = timedelta(seconds=120)
MAX_NOTES_LENGTH = 2000
DEFAULT_LENGTH = timedelta(days=14)
MAX_LENGTH = timedelta(days=60)
RETRY = timedelta(hours=1)
"""When a clean-up that the vault began of itself, and that failed, is begun again."""

_AT_THE_END = "Cleaned up by the vault at the end of the test's time."
_ENDING = " - test"
START_TASKS = ("recover and start",)
CLEAN_UP_TASKS = ("clean up",)


_WITH_POINTS = (
    ProtectionState.PROTECTED,
    ProtectionState.PAUSED,
    ProtectionState.RESYNC_REQUIRED,
    ProtectionState.RESYNCHRONIZING,
)
"""The states in which there are points, whatever becomes of replication."""


class RehearsalState(StrEnum):
    """Where a rehearsal is."""

    STARTING = "starting"
    STARTED = "started"
    FAILED = "failed"
    CLEANING_UP = "cleaning-up"
    CLEANED_UP = "cleaned-up"


@dataclass(frozen=True, slots=True)
class Rehearsal(Aggregate):
    """One test failover. `nics` is what was ordered until the target has read back what is.

    `network` is what was written for its networks; at `ends_at` the vault cleans it up. `cleaned_up_at` is when the
    target told that nothing of it is left, None where it has not, or where that was not kept.
    """

    id: RehearsalId
    protection_id: ProtectionId
    job_id: JobId
    state: RehearsalState
    generation: Generation
    sequence: int
    machine_name: str
    nics: tuple[NicConnection, ...]
    created_at: datetime
    network: str
    ends_at: datetime
    machine_id: MachineId | None = None
    disks: tuple[RecoveredDisk, ...] = ()
    steps: tuple[Measurement, ...] = ()
    guest: GuestReport | None = None
    removed: tuple[str, ...] = ()
    notes: str = ""
    was_started: bool = False
    cause: str | None = None
    remedy: str | None = None
    cleaned_up_at: datetime | None = None

    @property
    def is_successful(self) -> bool:
        """Tell whether start and clean-up both succeeded."""
        return self.was_started and self.state is RehearsalState.CLEANED_UP

    def started(self, job: Job, outcome: RehearsalStarted, now: datetime) -> Decision:
        """Decide what the target's read-back means: started, or running but not as it must be."""
        running = replace(
            self,
            machine_id=outcome.machine_id,
            disks=outcome.disks,
            steps=outcome.steps,
            guest=outcome.guest,
            nics=outcome.nics,
        )
        failure = self._doubt(outcome)
        if failure is not None:
            return running.failed(job, failure, now)
        good = replace(running, state=RehearsalState.STARTED, was_started=True)
        event = Event(now, EventKind.TEST_FAILOVER_STARTED, self.id, self.machine_name)
        return Decision((good, job.task_done(now)), (), (event,))

    def failed(self, job: Job, failure: Failure, now: datetime) -> Decision:
        """Decide that the start or the clean-up did not succeed; clean-up may follow."""
        is_start = self.state is RehearsalState.STARTING
        is_over = self.state is RehearsalState.CLEANING_UP and self.ends_at <= now
        kind = EventKind.TEST_FAILOVER_FAILED if is_start else EventKind.CLEAN_UP_FAILED
        lost = replace(
            self,
            state=RehearsalState.FAILED,
            cause=failure.cause,
            remedy=failure.remedy,
            ends_at=now + RETRY if is_over else self.ends_at,
        )
        event = Event(now, kind, self.id, f"{failure.code}: {failure.cause}")
        return Decision((lost, job.failed(failure, now)), (), (event,))

    def is_over(self, now: datetime) -> bool:
        """Tell whether it stands, or has failed, and its time is up."""
        return self.state in (RehearsalState.STARTED, RehearsalState.FAILED) and self.ends_at <= now

    def end(
        self, protection: Protection, job_id: JobId, order_id: OrderId, now: datetime
    ) -> tuple[Job, Decision]:
        """Decide that the vault cleans it up of itself; notes that were taken stay."""
        notes = f"{self.notes} {_AT_THE_END}".strip()[-MAX_NOTES_LENGTH:]
        return self.clean_up(protection, notes, job_id, order_id, now)

    def postponed(self, now: datetime) -> Decision:
        """Decide that the vault looks again later: its target is given no orders."""
        return Decision((replace(self, ends_at=now + RETRY),))

    def clean_up(
        self, protection: Protection, notes: str, job_id: JobId, order_id: OrderId, now: datetime
    ) -> tuple[Job, Decision]:
        """Decide that everything of the rehearsal is removed."""
        self._check_clean_up(notes)
        job = jobs.start(
            job_id,
            JobKind.CLEAN_UP_TEST_FAILOVER,
            protection.machine_name,
            CLEAN_UP_TASKS,
            now,
            protection_id=protection.id,
            rehearsal_id=self.id,
        )
        going = replace(self, state=RehearsalState.CLEANING_UP, job_id=job.id, notes=notes)
        action = CleanUpRehearsal(self.id, self.protection_id)
        order = Order(order_id, job.id, protection.target_host_id, now, action)
        event = Event(now, EventKind.CLEAN_UP_REQUESTED, self.id, self.machine_name)
        return job, Decision((going, job), (order,), (event,))

    def cleaned_up(self, job: Job, outcome: RehearsalCleanedUp, now: datetime) -> Decision:
        """Decide that nothing of the rehearsal is left. Only a successful one has nothing to explain any more."""
        gone = replace(
            self, state=RehearsalState.CLEANED_UP, removed=outcome.removed, cleaned_up_at=now
        )
        if gone.is_successful:
            gone = replace(gone, cause=None, remedy=None)
        event = Event(now, EventKind.TEST_FAILOVER_CLEANED_UP, self.id, self.machine_name)
        return Decision((gone, job.task_done(now)), (), (event,))

    def withdrawn(self, job: Job, now: datetime) -> Decision:
        """Decide what follows when the target never began the start or the clean-up."""
        cancelled = job.cancelled(now)
        events = [cancelled.cancelled_event(now)]
        if self.state is RehearsalState.STARTING:
            before = replace(
                self,
                state=RehearsalState.CLEANED_UP,
                cause=cancelled.cause,
                remedy=cancelled.remedy,
            )
            detail = f"{self.machine_name}: never begun"
            events.append(Event(now, EventKind.TEST_FAILOVER_CLEANED_UP, self.id, detail))
        else:
            # Only what failed has a cause; a clean-up that begins keeps it.
            state = RehearsalState.STARTED if self.cause is None else RehearsalState.FAILED
            before = replace(self, state=state, notes="")
        return Decision((before, cancelled), (), tuple(events))

    def _doubt(self, outcome: RehearsalStarted) -> Failure | None:
        ordered = {nic.nic_id: nic.network for nic in self.nics}
        for nic in outcome.nics:
            expected = ordered.get(nic.nic_id, "")
            if nic.network not in ("", expected):
                return Failure(
                    "network-not-as-ordered",
                    f"Adapter {nic.nic_id} of {self.machine_name} is on network {nic.network}; "
                    f"ordered was {expected or 'none'}.",
                    "Clean the test failover up at once: the machine may meet the real one.",
                )
        # An adapter that was ordered and is not there is one that the machine has got since the point.
        if not outcome.machine_id or not outcome.disks:
            return Failure(
                "not-read-back",
                f"The host says that {self.machine_name} was started and does not tell what it read back.",
                "Clean the test failover up; update the host's agent to the version of the vault.",
            )
        if outcome.guest is None or not outcome.guest.is_healthy:
            said = "it did not answer" if outcome.guest is None else outcome.guest.summary
            return Failure(
                "guest-not-healthy",
                f"The guest of {self.machine_name} is not healthy: {said}.",
                "Look at the machine, clean the test failover up, and try an older point.",
            )
        return None

    def _check_clean_up(self, notes: str) -> None:
        if len(notes) > MAX_NOTES_LENGTH:
            raise InvalidValueError(
                "invalid-notes",
                f"The notes have {len(notes)} characters.",
                f"Use at most {MAX_NOTES_LENGTH}.",
                field="notes",
            )
        if self.state not in (RehearsalState.STARTED, RehearsalState.FAILED):
            raise IllegalTransitionError(
                "test-failover-busy",
                f"The test failover of {self.machine_name} is {self.state}.",
                f"Wait for job {self.job_id}.",
            )


@dataclass(frozen=True, slots=True)
class RehearsalRequest:
    """What an operator asks to rehearse, for how long, and the rehearsal of this protection that is not cleaned up.

    `point` is None where the target holds none that the selector means. `network` is what was written for `networks`.
    """

    protection: Protection
    target: Host
    selector: PointSelector
    point: RecoveryPoint | None
    network: str
    networks: RehearsalNetworks
    length: timedelta
    unfinished: Rehearsal | None


@dataclass(frozen=True, slots=True)
class RehearsalIds:
    """Ids for what a rehearsal creates."""

    rehearsal: RehearsalId
    job: JobId
    order: OrderId


def start(request: RehearsalRequest, ids: RehearsalIds, now: datetime) -> tuple[Job, Decision]:
    """Decide that the target recovers a point beside the replica and starts it."""
    protection = request.protection
    check_start(protection, request.unfinished)
    check_trusted(request.target)
    _check_length(request.length)
    if request.point is None:
        raise request.selector.refusal(protection.machine_name)
    point, nics = request.point, request.networks.connections
    job = jobs.start(
        ids.job,
        JobKind.START_TEST_FAILOVER,
        protection.machine_name,
        START_TASKS,
        now,
        protection_id=protection.id,
        rehearsal_id=ids.rehearsal,
    )
    rehearsal = Rehearsal(
        ids.rehearsal,
        protection.id,
        job.id,
        RehearsalState.STARTING,
        point.generation,
        point.sequence,
        f"{protection.machine_name[: MAX_NAME_LENGTH - len(_ENDING)]}{_ENDING}",
        nics,
        now,
        request.network,
        now + request.length,
    )
    action = StartRehearsal(
        rehearsal.id,
        protection.id,
        point.generation,
        point.sequence,
        rehearsal.machine_name,
        nics,
        GUEST_TIMEOUT,
        request.networks.created,
    )
    order = Order(ids.order, job.id, protection.target_host_id, now, action)
    detail = f"{protection.machine_name} from point {point.sequence}"
    event = Event(now, EventKind.TEST_FAILOVER_REQUESTED, rehearsal.id, detail)
    return job, Decision((rehearsal, job), (order,), (event,))


def check_start(protection: Protection, unfinished: Rehearsal | None) -> None:
    """Raise `IllegalTransitionError` where no test may begin now."""
    if protection.state not in _WITH_POINTS:
        raise IllegalTransitionError(
            "not-protected-yet",
            f"Machine {protection.machine_name} is not protected yet (state {protection.state}).",
            f"Wait for job {protection.job_id}.",
        )
    if unfinished is not None:
        raise IllegalTransitionError(
            "test-failover-exists",
            f"Machine {protection.machine_name} has a test failover (state {unfinished.state}).",
            "Clean it up first: replikera test-failover cleanup.",
        )


def _check_length(length: timedelta) -> None:
    if not timedelta(minutes=1) <= length <= MAX_LENGTH:
        raise InvalidValueError(
            "invalid-length",
            f"A test failover cannot stand for {length.total_seconds():g} s.",
            f"Let it stand for 1 minute to {MAX_LENGTH.days} days.",
            field="lasts_seconds",
        )
