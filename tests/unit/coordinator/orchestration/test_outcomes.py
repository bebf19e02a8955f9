from dataclasses import replace

import pytest

from coordinator.domain.errors import ForbiddenError
from coordinator.domain.identifiers import JobId, MachineId, OrderId
from coordinator.domain.jobs import JobState
from coordinator.domain.orders import (
    Done,
    Failure,
    GuestReport,
    NicConnection,
    OrderProgress,
    Outcome,
    RecoveredDisk,
    RehearsalCleanedUp,
    RehearsalStarted,
    StartReplication,
)
from coordinator.domain.protections import ProtectionState
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.rehearsals import RehearsalWish, start_rehearsal
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import (
    BY_ANN,
    equip,
    open_orders,
    protect,
    report,
    save,
    the_job,
    the_order,
    the_protection,
)

FAILURE = Failure("disk-full", "It is full.", "Free it.")
STARTED = RehearsalStarted(
    MachineId("m"),
    (RecoveredDisk("d", "/r/d.vhdx", 1 << 30),),
    (),
    GuestReport(is_healthy=True, summary="verified", records=3),
    (NicConnection("nic-0", ""), NicConnection("nic-1", "")),
)


async def begin(vault: Vault) -> JobId:
    await equip(vault)
    return (await enable_protection(vault, BY_ANN, "web", "b1", "quick")).id


async def answer(vault: Vault, host_id: str, outcome: Outcome) -> OrderId:
    host = SOURCE.id if host_id == SOURCE.id else TARGET.id
    order = await the_order(vault, host)
    await receive_outcome(vault, host, order.id, outcome)
    return order.id


async def test_an_accepted_replica_leads_to_an_order_for_the_source(vault: Vault) -> None:
    await begin(vault)
    source = vault.presence.begin(SOURCE.id)
    source.work_waiting.clear()
    await answer(vault, TARGET.id, Done())
    assert source.work_waiting.is_set()
    assert isinstance((await the_order(vault, SOURCE.id)).action, StartReplication)
    assert await open_orders(vault, TARGET.id) == ()


async def test_a_second_outcome_changes_nothing_whatever_it_says(vault: Vault) -> None:
    job_id = await begin(vault)
    order_id = await answer(vault, TARGET.id, Done())
    before = await the_job(vault, job_id)
    for again in (Done(), FAILURE):
        await receive_outcome(vault, TARGET.id, order_id, again)
    assert await the_job(vault, job_id) == before
    assert len(await open_orders(vault, SOURCE.id)) == 1


async def test_an_outcome_that_is_said_again_wakes_whoever_comes_next(vault: Vault) -> None:
    await begin(vault)
    order_id = await answer(vault, TARGET.id, Done())
    source = vault.presence.begin(SOURCE.id)
    source.work_waiting.clear()
    await receive_outcome(vault, TARGET.id, order_id, Done())
    assert source.work_waiting.is_set()


async def test_an_order_is_answered_by_its_own_host_only(vault: Vault) -> None:
    job_id = await begin(vault)
    order = await the_order(vault, TARGET.id)
    before = await the_job(vault, job_id)
    with pytest.raises(ForbiddenError):
        await receive_outcome(vault, SOURCE.id, order.id, FAILURE)
    with pytest.raises(ForbiddenError):
        await receive_outcome(vault, TARGET.id, OrderId("no such order"), Done())
    assert await the_job(vault, job_id) == before


async def test_an_order_of_a_history_that_was_lost_is_taken_and_changes_nothing(
    vault: Vault,
) -> None:
    job_id = await begin(vault)
    before = await the_job(vault, job_id)
    async with vault.store.read() as records:
        control = replace(await records.control(), reconciled_number=1_000_000)
    await save(vault, control)
    await receive_outcome(vault, TARGET.id, OrderId("of the lost history"), Done())
    assert await the_job(vault, job_id) == before
    order = await the_order(vault, TARGET.id)
    with pytest.raises(ForbiddenError):
        await receive_outcome(vault, SOURCE.id, order.id, Done())


@pytest.mark.parametrize("failing", [TARGET.id, SOURCE.id])
async def test_a_failure_at_either_side_fails_job_and_protection(
    vault: Vault, failing: str
) -> None:
    job_id = await begin(vault)
    if failing == SOURCE.id:
        await answer(vault, TARGET.id, Done())
    await answer(vault, failing, FAILURE)
    assert (await the_job(vault, job_id)).state is JobState.FAILED
    protection = await the_protection(vault)
    assert (protection.state, protection.cause) == (ProtectionState.FAILED, "It is full.")


async def test_a_point_that_came_before_the_sources_outcome_counts(vault: Vault) -> None:
    job_id = await begin(vault)
    await answer(vault, TARGET.id, Done())
    await report(vault, 1, complete=True)
    assert (await the_protection(vault)).state is ProtectionState.ENABLING
    await answer(vault, SOURCE.id, Done())
    assert (await the_protection(vault)).state is ProtectionState.PROTECTED
    assert (await the_job(vault, job_id)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("wrong", [STARTED, RehearsalCleanedUp(())])
async def test_an_outcome_of_another_action_is_a_failure(vault: Vault, wrong: Outcome) -> None:
    job_id = await begin(vault)
    await answer(vault, TARGET.id, wrong)
    job = await the_job(vault, job_id)
    assert job.state is JobState.FAILED
    assert type(wrong).__name__ in (job.cause or "")


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (STARTED, "succeeded"),
        (FAILURE, "failed"),
        (Done(), "failed"),
        (RehearsalCleanedUp(()), "failed"),
    ],
)
async def test_a_rehearsal_succeeds_by_being_started_only(
    vault: Vault, outcome: Outcome, state: str
) -> None:
    await protect(vault)
    job = await start_rehearsal(vault, BY_ANN, "web", RehearsalWish())
    vault.progress.take(job.id, OrderProgress(OrderId("o"), "recover", 1, 2))
    await answer(vault, TARGET.id, outcome)
    assert (await the_job(vault, job.id)).state == state
    assert vault.progress.get(job.id) is None


async def test_an_outcome_for_a_job_that_ended_meanwhile_only_closes_the_order(
    vault: Vault,
) -> None:
    job_id = await begin(vault)
    ended = (await the_job(vault, job_id)).failed(FAILURE, vault.clock.now())
    await save(vault, ended)
    await answer(vault, TARGET.id, Done())
    assert await the_job(vault, job_id) == ended
    assert await open_orders(vault, TARGET.id) == ()
    assert await open_orders(vault, SOURCE.id) == ()
