import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain import jobs
from coordinator.domain.errors import IllegalTransitionError
from coordinator.domain.identifiers import JobId, ProtectionId
from coordinator.domain.jobs import Job, JobKind, JobState, TaskState
from coordinator.domain.orders import Failure
from tests.unit.coordinator.examples import LATER, NOW

FAILURE = Failure("disk-full", "It is full.", "Free it.")


def new_job(tasks: int) -> Job:
    names = tuple(f"task {at}" for at in range(tasks))
    return jobs.start(
        JobId("j"), JobKind.ENABLE_PROTECTION, "web", names, NOW, protection_id=ProtectionId("p")
    )


def states(job: Job) -> list[TaskState]:
    return [task.state for task in job.tasks]


@given(st.integers(1, 6), st.integers(0, 6), st.booleans())
def test_tasks_end_in_order_and_one_runs_while_the_job_does(
    tasks: int, steps: int, fails: bool
) -> None:
    job = new_job(tasks)
    done = min(steps, tasks)
    for _ in range(done):
        assert job.state is JobState.RUNNING
        assert states(job).count(TaskState.RUNNING) == 1
        job = job.task_done(LATER)
    if done < tasks and fails:
        job = job.failed(FAILURE, LATER)
        assert job.state is JobState.FAILED
        assert states(job)[done] is TaskState.FAILED
    assert states(job)[:done] == [TaskState.SUCCEEDED] * done
    assert all(state is TaskState.WAITING for state in states(job)[done + 1 :])
    assert (job.state is JobState.SUCCEEDED) == (done == tasks)
    assert (job.finished_at == LATER) == (job.state is not JobState.RUNNING)


def test_a_failed_job_says_why_and_what_to_do() -> None:
    job = new_job(2).task_done(NOW).failed(FAILURE, LATER)
    assert (job.cause, job.remedy) == ("It is full.", "Free it.")
    assert job.tasks[1].detail == "It is full."


@pytest.mark.parametrize("finished", [new_job(1).task_done(NOW), new_job(1).failed(FAILURE, NOW)])
def test_a_finished_job_does_not_change_any_more(finished: Job) -> None:
    with pytest.raises(IllegalTransitionError):
        finished.task_done(LATER)
    with pytest.raises(IllegalTransitionError):
        finished.failed(FAILURE, LATER)
