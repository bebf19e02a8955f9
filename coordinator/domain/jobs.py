"""Jobs: what an operator watches. A job runs its tasks in order; it succeeds with the last, fails with any."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.errors import IllegalTransitionError
from coordinator.domain.identifiers import JobId, ProtectionId, RehearsalId
from coordinator.domain.orders import Failure


class JobKind(StrEnum):
    """What a job does."""

    ENABLE_PROTECTION = "enable-protection"
    START_TEST_FAILOVER = "start-test-failover"
    CLEAN_UP_TEST_FAILOVER = "clean-up-test-failover"


class JobState(StrEnum):
    """Where a job is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class TaskState(StrEnum):
    """Where one task of a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Task:
    """One step of a job."""

    name: str
    state: TaskState = TaskState.WAITING
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Job(Aggregate):
    """A running job has exactly one running task, a finished one none. `subject` is the machine's name."""

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

    def task_done(self, now: datetime) -> "Job":
        """Return the job with its running task succeeded and the next one running."""
        at = self._running_task()
        tasks = list(self.tasks)
        tasks[at] = replace(tasks[at], state=TaskState.SUCCEEDED)
        if at + 1 == len(tasks):
            return replace(self, tasks=tuple(tasks), state=JobState.SUCCEEDED, finished_at=now)
        tasks[at + 1] = replace(tasks[at + 1], state=TaskState.RUNNING)
        return replace(self, tasks=tuple(tasks))

    def failed(self, failure: Failure, now: datetime) -> "Job":
        """Return the job, failed at its running task."""
        at = self._running_task()
        tasks = list(self.tasks)
        tasks[at] = replace(tasks[at], state=TaskState.FAILED, detail=failure.cause)
        return replace(
            self,
            tasks=tuple(tasks),
            state=JobState.FAILED,
            cause=failure.cause,
            remedy=failure.remedy,
            finished_at=now,
        )

    def _running_task(self) -> int:
        for at, task in enumerate(self.tasks):
            if task.state is TaskState.RUNNING:
                return at
        raise IllegalTransitionError(
            "job-finished",
            f"Job {self.id} has {self.state} already.",
            "Look at its outcome: replikera job show.",
        )


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
