r"""Jobs: what an operator watches. A job runs its tasks in order; it succeeds with the last, fails with any.

    running -> succeeded
        \_-> failed
         \-> cancelled

A running job has exactly one running task, a finished one none. An operator may ask a job to stop: the order of its
running task is withdrawn, and the host that has it decides. Not begun: the job is cancelled. Begun: it keeps its
outcome and the job goes on, free to be asked again at its next task.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import IllegalTransitionError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.identifiers import JobId, ProtectionId, RehearsalId
from coordinator.domain.job_results import JobResult
from coordinator.domain.orders import Failure, Order

INITIAL_REPLICATION = "initial replication"
"""A task without an order: both hosts have theirs already, and the first point ends it."""

RESYNCHRONIZATION = "resynchronization"
"""A task without an order: the source has begun, and its report ends it."""

VERIFICATION = "verification"
"""A task without an order: the source has begun, and its report ends it. Another order calls it off."""

LISTED = "the target lists it"
"""A task without an order: the source has taken the point, and the list of its target ends it."""

UNORDERED = {
    INITIAL_REPLICATION: "waits for the first point of machine {}: both hosts have",
    RESYNCHRONIZATION: "waits until machine {} is resynchronized: its source host has",
    LISTED: "waits until the target of machine {} lists the point: its source host has",
}
"""The tasks that no order belongs to and none ends: what a job at one of them waits for, and who has begun."""

_REPORTED = (*UNORDERED, VERIFICATION)

_TOO_LATE = "The request to cancel came after the host had begun."
_CANCELLED = "An operator cancelled it before the host began: nothing was done."
_CANCELLED_LATER = (
    "An operator cancelled it before the host began this task: what the tasks before it did stays."
)
_START_AGAIN = "Start it again if it is still wanted."


class JobKind(StrEnum):
    """What a job does."""

    ENABLE_PROTECTION = "enable-protection"
    START_TEST_FAILOVER = "start-test-failover"
    CLEAN_UP_TEST_FAILOVER = "clean-up-test-failover"
    DIGEST_POINT = "digest-point"
    EXPORT_POINT = "export-point"
    NAME_POINT = "name-point"
    CHANGE_POLICY = "change-policy"
    PAUSE_PROTECTION = "pause-protection"
    RESUME_PROTECTION = "resume-protection"
    RESYNC_PROTECTION = "resync-protection"
    VERIFY_PROTECTION = "verify-protection"
    DISABLE_PROTECTION = "disable-protection"


class JobState(StrEnum):
    """Where a job is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobAction(StrEnum):
    """What an operator may do with a job."""

    CANCEL = "cancel"


class TaskState(StrEnum):
    """Where one task of a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Task:
    """One step of a job."""

    name: str
    state: TaskState = TaskState.WAITING
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Job(Aggregate):
    """One job. `subject` is the machine's name; `cancel_requested_at` is about its running or last task.

    `result` is what it brought to light, None for most and before its end.
    """

    id: JobId
    kind: JobKind
    subject: str
    protection_id: ProtectionId
    rehearsal_id: RehearsalId | None
    state: JobState
    tasks: tuple[Task, ...]
    created_at: datetime
    cause: str | None = None
    remedy: str | None = None
    finished_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    result: JobResult | None = None

    @property
    def allowed_actions(self) -> tuple[JobAction, ...]:
        """Return what an operator may do with the job now."""
        is_free = self.cancel_requested_at is None and self._cancel_refusal() is None
        return (JobAction.CANCEL,) if is_free else ()

    def task_done(self, now: datetime, result: JobResult | None = None) -> "Job":
        """Return the job with its running task succeeded and the next one running; the last brings the result."""
        at = self._running_task()
        detail = _TOO_LATE if self.cancel_requested_at is not None else None
        tasks = self._with_task(at, TaskState.SUCCEEDED, detail)
        if at + 1 == len(tasks):
            return replace(
                self, tasks=tasks, state=JobState.SUCCEEDED, finished_at=now, result=result
            )
        following = replace(tasks[at + 1], state=TaskState.RUNNING)
        tasks = (*tasks[: at + 1], following, *tasks[at + 2 :])
        return replace(self, tasks=tasks, cancel_requested_at=None)

    def failed(self, failure: Failure, now: datetime) -> "Job":
        """Return the job, failed at its running task."""
        return replace(
            self,
            tasks=self._with_task(self._running_task(), TaskState.FAILED, failure.cause),
            state=JobState.FAILED,
            cause=failure.cause,
            remedy=failure.remedy,
            finished_at=now,
        )

    def cancelled(self, now: datetime, cause: str | None = None) -> "Job":
        """Return the job, ended at its running task, which its host never began unless the cause says otherwise."""
        before = _CANCELLED if self.is_at(self.tasks[0].name) else _CANCELLED_LATER
        return replace(
            self,
            tasks=self._with_task(self._running_task(), TaskState.CANCELLED, None),
            state=JobState.CANCELLED,
            cause=cause or before,
            remedy=_START_AGAIN,
            finished_at=now,
        )

    def cancel(self, orders: Iterable[Order], now: datetime) -> tuple["Job", Decision]:
        """Decide that `orders`, those of the job without an outcome, are taken back if they have not begun.

        Asked a second time it decides nothing. Raises `IllegalTransitionError`.
        """
        refusal = self._cancel_refusal()
        if refusal is not None:
            cause, remedy = refusal
            raise IllegalTransitionError("job-not-cancellable", cause, remedy)
        if self.cancel_requested_at is not None:
            return self, NOTHING
        asked = replace(self, cancel_requested_at=now)
        detail = f"{self.kind} of {self.subject}"
        event = Event(now, EventKind.JOB_CANCEL_REQUESTED, self.id, detail)
        withdrawn = tuple(order.withdrawn(now) for order in orders)
        return asked, Decision((asked,), withdrawn, (event,))

    def not_cancelled(self) -> "Job":
        """Return the job as it goes on, free to be asked again: its host could not stop."""
        return replace(self, cancel_requested_at=None)

    def cancelled_event(self, now: datetime) -> Event:
        """Return the line of the history that tells of the cancellation."""
        return Event(now, EventKind.JOB_CANCELLED, self.id, f"{self.kind} of {self.subject}")

    def is_at(self, task_name: str) -> bool:
        """Tell whether the job's running task is that one."""
        task = self.running_task
        return task is not None and task.name == task_name

    @property
    def waits_for_report(self) -> bool:
        """Tell whether no order, but only a host's report, brings the job on."""
        task = self.running_task
        return task is not None and task.name in _REPORTED

    @property
    def running_task(self) -> Task | None:
        """Return the task that runs, None for a finished job."""
        return next((task for task in self.tasks if task.state is TaskState.RUNNING), None)

    def _cancel_refusal(self) -> tuple[str, str] | None:
        task = self.running_task
        if task is None:
            return (f"Job {self.id} has {_ENDED[self.state]} already.", self._instead())
        if task.name in UNORDERED:
            waits = UNORDERED[task.name].format(self.subject)
            return (
                f"Job {self.id} {waits} begun, and there is no order left to take back.",
                f"Let it finish; follow it with: replikera job show {self.id}.",
            )
        if self.kind is JobKind.DISABLE_PROTECTION:
            return (
                f"Job {self.id} ends the protection of machine {self.subject}: half of an end is no protection.",
                "Let it finish, and enable the protection again if it is still wanted.",
            )
        return None

    def _instead(self) -> str:
        has_started = self.state is JobState.SUCCEEDED
        if self.kind is JobKind.START_TEST_FAILOVER and has_started:
            return f"Clean the test failover up: replikera test-failover cleanup {self.subject}."
        return f"Look at its outcome: replikera job show {self.id}."

    def _with_task(self, at: int, state: TaskState, detail: str | None) -> tuple[Task, ...]:
        changed = replace(self.tasks[at], state=state, detail=detail)
        return (*self.tasks[:at], changed, *self.tasks[at + 1 :])

    def _running_task(self) -> int:
        for at, task in enumerate(self.tasks):
            if task.state is TaskState.RUNNING:
                return at
        raise IllegalTransitionError(
            "job-finished",
            f"Job {self.id} has {_ENDED[self.state]} already.",
            "Look at its outcome: replikera job show.",
        )


_ENDED = {
    JobState.RUNNING: "begun",
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "been cancelled",
}


def start(
    job_id: JobId,
    kind: JobKind,
    subject: str,
    task_names: tuple[str, ...],
    now: datetime,
    *,
    protection_id: ProtectionId,
    rehearsal_id: RehearsalId | None = None,
) -> Job:
    """Return a new job with its first task running."""
    first, *rest = task_names
    tasks = (Task(first, TaskState.RUNNING), *(Task(name) for name in rest))
    return Job(job_id, kind, subject, protection_id, rehearsal_id, JobState.RUNNING, tasks, now)
