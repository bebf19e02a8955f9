import pytest

from coordinator.domain.disabling import Side
from coordinator.domain.errors import DomainError
from coordinator.domain.identifiers import HostId
from coordinator.domain.job_results import RemovedReplica
from coordinator.domain.jobs import Job
from coordinator.domain.orders import (
    CleanUpRehearsal,
    Done,
    Failure,
    Outcome,
    RehearsalCleanedUp,
    RemoveReplica,
    ReplicaRemoved,
    StopReplication,
)
from coordinator.domain.policy_settings import ReplicaOnDisable
from coordinator.orchestration.disabling import disable_protection
from coordinator.orchestration.jobs import cancel_job
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.protection_changes import verify_protection
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.rehearsals import RehearsalWish, start_rehearsal
from coordinator.orchestration.trust import revoke_host
from coordinator.orchestration.vault import Vault
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import (
    BY_ANN,
    kinds,
    open_orders,
    protect,
    the_job,
    the_order,
    the_protection,
)

FAILURE = Failure("disk-busy", "A disk is in use.", "Stop who uses it.")


async def answer(vault: Vault, host_id: HostId, outcome: Outcome) -> None:
    order = await the_order(vault, host_id)
    await receive_outcome(vault, host_id, order.id, outcome)


async def disable(vault: Vault, *forgotten: Side, keep: bool = True) -> Job:
    replica = ReplicaOnDisable.KEEP if keep else ReplicaOnDisable.DELETE
    return await disable_protection(vault, BY_ANN, "web", replica, forgotten)


async def refusal(vault: Vault, *forgotten: Side) -> str:
    with pytest.raises(DomainError) as caught:
        await disable(vault, *forgotten)
    return caught.value.code


async def is_gone(vault: Vault) -> bool:
    async with vault.store.read() as records:
        return await records.protections.all() == ()


async def test_a_protection_is_gone_when_both_hosts_have_ended_it(vault: Vault) -> None:
    protection = await protect(vault)
    job = await disable(vault)
    assert (await the_order(vault, SOURCE.id)).action == StopReplication(protection.id)
    assert await open_orders(vault, TARGET.id) == ()
    assert (await the_protection(vault)).state == "disabling"
    await answer(vault, SOURCE.id, Done())
    order = await the_order(vault, TARGET.id)
    assert order.action == RemoveReplica(protection.id, keep_disks=True)
    await answer(vault, TARGET.id, ReplicaRemoved(("/exports/system.vhdx",)))
    done = await the_job(vault, job.id)
    assert (done.state, done.result) == ("succeeded", RemovedReplica(("/exports/system.vhdx",)))
    assert await is_gone(vault)
    assert (await kinds(vault))[-1] == "protection-disabled"
    await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    assert (await the_protection(vault)).id != protection.id


async def test_the_policy_decides_about_the_disks_unless_the_operator_does(vault: Vault) -> None:
    protection = await protect(vault)
    await disable_protection(vault, BY_ANN, "web", None, ())
    await answer(vault, SOURCE.id, Done())
    order = await the_order(vault, TARGET.id)
    assert order.action == RemoveReplica(protection.id, keep_disks=True)


async def test_disks_may_be_deleted(vault: Vault) -> None:
    protection = await protect(vault)
    await disable(vault, keep=False)
    await answer(vault, SOURCE.id, Done())
    order = await the_order(vault, TARGET.id)
    assert order.action == RemoveReplica(protection.id, keep_disks=False)


async def test_a_host_that_cannot_end_it_is_asked_again(vault: Vault) -> None:
    await protect(vault)
    job = await disable(vault)
    assert await refusal(vault) == "disabling-already"
    await answer(vault, SOURCE.id, Done())
    await answer(vault, TARGET.id, FAILURE)
    protection = await the_protection(vault)
    assert (protection.state, protection.cause) == ("disabling", FAILURE.cause)
    assert (await the_job(vault, job.id)).state == "failed"
    await disable(vault)
    await answer(vault, SOURCE.id, Done())
    await answer(vault, TARGET.id, ReplicaRemoved(()))
    assert await is_gone(vault)


async def test_a_revoked_host_has_to_be_forgotten_and_is_told_all_the_same(vault: Vault) -> None:
    await protect(vault)
    await revoke_host(vault, BY_ANN, "a1", "burnt")
    assert await refusal(vault) == "host-revoked"
    job = await disable(vault, Side.SOURCE)
    assert [task.name for task in job.tasks] == [
        "remove replica at target, keeping the disks of its newest point"
    ]
    await answer(vault, TARGET.id, ReplicaRemoved(()))
    assert await is_gone(vault)
    assert (await the_job(vault, job.id)).state == "succeeded"
    await answer(vault, SOURCE.id, Done())
    assert await open_orders(vault, SOURCE.id) == ()


async def test_a_forgotten_host_that_answers_first_changes_nothing(vault: Vault) -> None:
    await protect(vault)
    await disable(vault, Side.TARGET)
    await answer(vault, TARGET.id, FAILURE)
    assert (await the_protection(vault)).cause is None
    await answer(vault, SOURCE.id, Done())
    assert await is_gone(vault)


async def test_a_protection_without_hosts_is_gone_at_once(vault: Vault) -> None:
    await protect(vault)
    job = await disable(vault, Side.SOURCE, Side.TARGET)
    assert job.state == "succeeded"
    assert await is_gone(vault)


async def test_what_was_going_on_ends(vault: Vault) -> None:
    await protect(vault)
    verifying = await verify_protection(vault, BY_ANN, "web")
    await disable(vault)
    assert (await the_job(vault, verifying.id)).state == "failed"
    first, _ = await open_orders(vault, SOURCE.id)
    assert first.withdrawn_at is not None


async def test_a_test_failover_keeps_the_replica(vault: Vault) -> None:
    await protect(vault)
    await start_rehearsal(vault, BY_ANN, "web", RehearsalWish())
    assert await refusal(vault) == "test-failover-exists"


async def test_an_end_cannot_be_cancelled(vault: Vault) -> None:
    await protect(vault)
    job = await disable(vault)
    with pytest.raises(DomainError) as caught:
        await cancel_job(vault, BY_ANN, job.id)
    assert caught.value.code == "job-not-cancellable"


async def test_what_a_forgotten_host_does_not_manage_is_in_the_history(vault: Vault) -> None:
    await protect(vault)
    await disable(vault, Side.SOURCE, Side.TARGET)
    await answer(vault, TARGET.id, FAILURE)
    await answer(vault, SOURCE.id, Done())
    assert (await kinds(vault)).count("forgotten-host-failed") == 1
    async with vault.store.read() as records:
        page = await records.history.page(limit=1000, after=0)
    (told,) = [line.detail for line in page.items if line.kind == "forgotten-host-failed"]
    assert told == "web at its target: disk-busy: A disk is in use. Stop who uses it."


async def test_a_forgotten_target_cleans_its_test_failover_up_before_the_replica_goes(
    vault: Vault, clock: VirtualClock
) -> None:
    protection = await protect(vault)
    await start_rehearsal(vault, BY_ANN, "web", RehearsalWish())
    clock.advance(1)
    job = await disable(vault, Side.TARGET)
    start, clean_up, remove = await open_orders(vault, TARGET.id)
    assert start.withdrawn_at is not None
    assert isinstance(clean_up.action, CleanUpRehearsal)
    assert remove.action == RemoveReplica(protection.id, keep_disks=True)
    await receive_outcome(vault, TARGET.id, clean_up.id, RehearsalCleanedUp(()))
    assert (await the_job(vault, job.id)).is_at("stop replication at source")
    await receive_outcome(vault, TARGET.id, remove.id, ReplicaRemoved(()))
    await answer(vault, SOURCE.id, Done())
    assert await is_gone(vault)
    assert "forgotten-host-failed" not in await kinds(vault)
