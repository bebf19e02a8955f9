import pytest

from coordinator.domain.commands import by_operator
from coordinator.domain.errors import IllegalTransitionError, RefusedError, UnknownObjectError
from coordinator.domain.events import EventKind
from coordinator.domain.jobs import JobState, TaskState
from coordinator.domain.orders import Done, Failure, Withdrawn
from coordinator.domain.protections import ProtectionState
from coordinator.domain.rehearsals import RehearsalState
from coordinator.domain.replication import ReplicationReport, ReplicationState
from coordinator.orchestration.host_messages import receive_replication
from coordinator.orchestration.jobs import cancel_job
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.rehearsals import RehearsalWish, clean_up_rehearsal, start_rehearsal
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.orchestration.test_outcomes import STARTED, answer, begin
from tests.unit.coordinator.vaults import (
    BY_ANN,
    open_orders,
    protect,
    report,
    the_job,
    the_order,
    the_protection,
)

KEYED = by_operator("ann", "key-1", b"digest")


async def kinds(vault: Vault) -> list[EventKind]:
    async with vault.store.read() as records:
        page = await records.history.page(None, 100, kind=None, subject=None, after=0)
    return [line.kind for line in page.items]


async def test_a_cancelled_job_asks_its_host_not_to_begin(vault: Vault) -> None:
    job_id = await begin(vault)
    session = vault.presence.begin(TARGET.id)
    session.work_waiting.clear()
    job = await cancel_job(vault, KEYED, job_id)
    assert (job.state, job.cancel_requested_at) == (JobState.RUNNING, vault.clock.now())
    assert session.work_waiting.is_set()
    order = await the_order(vault, TARGET.id)
    assert (order.withdrawn_at, order.outcome) == (vault.clock.now(), None)
    assert await cancel_job(vault, KEYED, job_id) == job
    assert await cancel_job(vault, BY_ANN, job_id) == job
    assert (await kinds(vault)).count(EventKind.JOB_CANCEL_REQUESTED) == 1


async def test_what_the_target_never_began_is_gone_and_may_go_anywhere(vault: Vault) -> None:
    job_id = await begin(vault)
    protection = await the_protection(vault)
    # A host may claim what it likes meanwhile; nothing of it keeps the protection.
    claim = ReplicationReport(
        protection.id, ReplicationState.INITIAL, None, 0, 0, 0.0, None, 0, vault.clock.now()
    )
    await receive_replication(vault, SOURCE.id, claim)
    await report(vault, 1)
    await cancel_job(vault, BY_ANN, job_id)
    await answer(vault, TARGET.id, Withdrawn())
    job = await the_job(vault, job_id)
    assert (job.state, job.tasks[0].state) == (JobState.CANCELLED, TaskState.CANCELLED)
    with pytest.raises(UnknownObjectError):
        await the_protection(vault)
    assert {EventKind.JOB_CANCELLED, EventKind.PROTECTION_REMOVED} <= set(await kinds(vault))
    again = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    assert again.state is JobState.RUNNING
    assert (await the_protection(vault)).id != protection.id


async def test_what_the_source_never_began_may_be_enabled_again(vault: Vault) -> None:
    job_id = await begin(vault)
    await answer(vault, TARGET.id, Done())
    await cancel_job(vault, BY_ANN, job_id)
    await answer(vault, SOURCE.id, Withdrawn())
    assert (await the_job(vault, job_id)).state is JobState.CANCELLED
    assert (await the_protection(vault)).state is ProtectionState.FAILED
    again = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    assert again.state is JobState.RUNNING


async def test_what_has_begun_keeps_its_outcome_and_the_job_goes_on(vault: Vault) -> None:
    job_id = await begin(vault)
    await cancel_job(vault, BY_ANN, job_id)
    await answer(vault, TARGET.id, Done())
    job = await the_job(vault, job_id)
    assert (job.state, job.cancel_requested_at) == (JobState.RUNNING, None)
    assert (await the_order(vault, SOURCE.id)).withdrawn_at is None
    await answer(vault, SOURCE.id, Done())
    with pytest.raises(IllegalTransitionError) as caught:
        await cancel_job(vault, BY_ANN, job_id)
    assert caught.value.code == "job-not-cancellable"


async def test_a_test_failover_that_never_began_does_not_block_the_next_one(vault: Vault) -> None:
    await protect(vault)
    job = await start_rehearsal(vault, BY_ANN, "web", RehearsalWish())
    await cancel_job(vault, BY_ANN, job.id)
    await answer(vault, TARGET.id, Withdrawn())
    async with vault.store.read() as records:
        (rehearsal,) = await records.rehearsals.all()
    assert rehearsal.state is RehearsalState.CLEANED_UP
    assert not rehearsal.is_successful
    again = await start_rehearsal(vault, BY_ANN, "web", RehearsalWish())
    assert again.state is JobState.RUNNING


async def test_a_clean_up_that_never_began_may_be_asked_for_again(vault: Vault) -> None:
    await protect(vault)
    await start_rehearsal(vault, BY_ANN, "web", RehearsalWish())
    await answer(vault, TARGET.id, STARTED)
    job = await clean_up_rehearsal(vault, BY_ANN, "web", "")
    await cancel_job(vault, BY_ANN, job.id)
    await answer(vault, TARGET.id, Withdrawn())
    async with vault.store.read() as records:
        (rehearsal,) = await records.rehearsals.all()
    assert rehearsal.state is RehearsalState.STARTED
    again = await clean_up_rehearsal(vault, BY_ANN, "web", "")
    assert again.state is JobState.RUNNING


async def test_an_order_that_nobody_withdrew_is_not_withdrawn_by_its_host(vault: Vault) -> None:
    job_id = await begin(vault)
    await answer(vault, TARGET.id, Withdrawn())
    assert (await the_job(vault, job_id)).state is JobState.FAILED
    assert (await the_protection(vault)).state is ProtectionState.FAILED


async def test_a_repeated_outcome_of_a_cancelled_job_changes_nothing(vault: Vault) -> None:
    job_id = await begin(vault)
    await cancel_job(vault, BY_ANN, job_id)
    order_id = await answer(vault, TARGET.id, Withdrawn())
    for again in (Withdrawn(), Done(), Failure("x", "y", "z")):
        await receive_outcome(vault, TARGET.id, order_id, again)
    assert (await the_job(vault, job_id)).state is JobState.CANCELLED
    assert await open_orders(vault, SOURCE.id) == ()


async def test_an_unknown_job_and_a_reused_key_are_refused(vault: Vault) -> None:
    with pytest.raises(UnknownObjectError):
        await cancel_job(vault, BY_ANN, "nowhere")
    job_id = await begin(vault)
    await cancel_job(vault, KEYED, job_id)
    with pytest.raises(RefusedError) as caught:
        await cancel_job(vault, by_operator("ann", "key-1", b"other"), job_id)
    assert caught.value.code == "idempotency-key-reused"
