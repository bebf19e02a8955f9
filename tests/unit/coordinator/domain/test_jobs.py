from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain import jobs
from coordinator.domain.decisions import NOTHING
from coordinator.domain.errors import IllegalTransitionError
from coordinator.domain.events import EventKind
from coordinator.domain.identifiers import JobId, OrderId, ProtectionId, RehearsalId
from coordinator.domain.jobs import (
    INITIAL_REPLICATION,
    Job,
    JobAction,
    JobKind,
    JobState,
    TaskState,
)
from coordinator.domain.orders import CleanUpRehearsal, Failure, Order
from tests.unit.coordinator.examples import LATER, NOW, TARGET

FAILURE = Failure("disk-full", "It is full.", "Free it.")
ORDER = Order(
    OrderId("o"),
    JobId("j"),
    TARGET.id,
    NOW,
    CleanUpRehearsal(RehearsalId("r"), ProtectionId("p")),
)
STEPS = ("done", "fail", "cancel", "withdrawn")


def new_job(tasks: int, kind: JobKind = JobKind.ENABLE_PROTECTION) -> Job:
    names = tuple(f"task {at}" for at in range(tasks))
    return jobs.start(JobId("j"), kind, "web", names, NOW, protection_id=ProtectionId("p"))


def states(job: Job) -> list[TaskState]:
    return [task.state for task in job.tasks]


def step(job: Job, what: str) -> Job:
    """Return the job after a step; one that is refused leaves it as it was, for a reason."""
    task = job.running_task
    waits_for_hosts = task is not None and task.name == INITIAL_REPLICATION
    if task is None or (what == "cancel" and waits_for_hosts):
        assert job.allowed_actions == ()
        with pytest.raises(IllegalTransitionError) as caught:
            change(job, what)
        assert caught.value.remedy
        return job
    return change(job, what)


def change(job: Job, what: str) -> Job:
    if what == "done":
        return job.task_done(LATER)
    if what == "fail":
        return job.failed(FAILURE, LATER)
    if what == "withdrawn":
        return job.cancelled(LATER)
    return job.cancel((ORDER,), LATER)[0]


@given(st.integers(1, 4), st.lists(st.sampled_from(STEPS), max_size=12), st.booleans())
def test_whatever_happens_a_job_is_in_a_state_that_makes_sense(
    tasks: int, steps: list[str], ends_without_order: bool
) -> None:
    job = new_job(tasks)
    if ends_without_order:
        last = replace(job.tasks[-1], name=INITIAL_REPLICATION)
        job = replace(job, tasks=(*job.tasks[:-1], last))
    for what in steps:
        before = job
        job = step(job, what)
        check(job)
        if before.state is not JobState.RUNNING:
            assert job == before, "a finished job changed"


def check(job: Job) -> None:
    running = states(job).count(TaskState.RUNNING)
    is_running = job.state is JobState.RUNNING
    assert running == (1 if is_running else 0)
    assert (job.finished_at is None) == is_running
    ended = [at for at, state in enumerate(states(job)) if state is not TaskState.WAITING]
    assert ended == list(range(len(ended))), "tasks end in their order"
    assert set(states(job)[: len(ended) - 1]) <= {TaskState.SUCCEEDED}
    last = states(job)[ended[-1]]
    assert {
        JobState.RUNNING: TaskState.RUNNING,
        JobState.SUCCEEDED: TaskState.SUCCEEDED,
        JobState.FAILED: TaskState.FAILED,
        JobState.CANCELLED: TaskState.CANCELLED,
    }[job.state] is last
    assert (job.cause is None) == (job.state in {JobState.RUNNING, JobState.SUCCEEDED})
    assert (job.cause is None) == (job.remedy is None)
    assert set(job.allowed_actions) <= ({JobAction.CANCEL} if is_running else set())
    if job.cancel_requested_at is not None:
        assert job.allowed_actions == ()


def test_a_failed_job_says_why_and_what_to_do() -> None:
    job = new_job(2).task_done(NOW).failed(FAILURE, LATER)
    assert (job.cause, job.remedy) == ("It is full.", "Free it.")
    assert job.tasks[1].detail == "It is full."


@pytest.mark.parametrize(
    "finished",
    [new_job(1).task_done(NOW), new_job(1).failed(FAILURE, NOW), new_job(1).cancelled(NOW)],
)
def test_a_finished_job_does_not_change_any_more(finished: Job) -> None:
    assert finished.allowed_actions == ()
    for change in (
        lambda: finished.task_done(LATER),
        lambda: finished.failed(FAILURE, LATER),
        lambda: finished.cancelled(LATER),
        lambda: finished.cancel((), LATER),
    ):
        with pytest.raises(IllegalTransitionError):
            change()


def test_a_cancelled_job_withdraws_its_open_orders_once() -> None:
    job = new_job(2)
    assert job.allowed_actions == (JobAction.CANCEL,)
    asked, decision = job.cancel((ORDER,), LATER)
    assert (asked.state, asked.cancel_requested_at) == (JobState.RUNNING, LATER)
    assert decision.aggregates == (asked,)
    assert [order.withdrawn_at for order in decision.orders] == [LATER]
    assert [event.kind for event in decision.events] == [EventKind.JOB_CANCEL_REQUESTED]
    assert asked.cancel((ORDER,), LATER) == (asked, NOTHING)


def test_a_request_that_came_too_late_is_told_and_may_be_made_again() -> None:
    asked, _ = new_job(2).cancel((), NOW)
    going = asked.task_done(LATER)
    assert (going.state, going.cancel_requested_at) == (JobState.RUNNING, None)
    assert going.allowed_actions == (JobAction.CANCEL,)
    assert "after the host had begun" in (going.tasks[0].detail or "")
    assert going.tasks[1].detail is None


def test_a_job_that_waits_for_the_first_point_says_why_it_cannot_be_cancelled() -> None:
    job = jobs.start(
        JobId("j"),
        JobKind.ENABLE_PROTECTION,
        "web",
        (INITIAL_REPLICATION,),
        NOW,
        protection_id=ProtectionId("p"),
    )
    assert job.allowed_actions == ()
    with pytest.raises(IllegalTransitionError) as caught:
        job.cancel((), LATER)
    assert caught.value.code == "job-not-cancellable"
    assert "no order left" in caught.value.cause
    assert "replikera job show j" in caught.value.remedy


def test_what_to_do_instead_is_what_undoes_the_job() -> None:
    started = new_job(1, JobKind.START_TEST_FAILOVER).task_done(NOW)
    with pytest.raises(IllegalTransitionError) as caught:
        started.cancel((), LATER)
    assert caught.value.remedy == "Clean the test failover up: replikera test-failover cleanup web."
    assert "has succeeded already" in caught.value.cause
    with pytest.raises(IllegalTransitionError) as caught:
        new_job(1).cancelled(NOW).cancel((), LATER)
    assert "has been cancelled already" in caught.value.cause
