from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain.hello import HeldRehearsal, HostHello
from coordinator.domain.hosts import Host, HostFacts
from coordinator.domain.identifiers import ProtectionId, RehearsalId
from coordinator.domain.orders import (
    AcceptReplica,
    CleanUpRehearsal,
    Done,
    Failure,
    RehearsalCleanedUp,
    StartReplication,
)
from coordinator.domain.rehearsals import RehearsalState
from coordinator.orchestration.catalogue import update_policy
from coordinator.orchestration.introductions import introduce
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.rehearsals import clean_up_rehearsal
from coordinator.orchestration.trust import revoke_host
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import (
    BY_ANN,
    member,
    open_orders,
    protect,
    save,
    the_order,
    the_protection,
)

FAILURE = Failure("disk-busy", "A disk is in use.", "Stop who uses it.")


async def says(
    vault: Vault, host: Host, address: str = "", tests: tuple[HeldRehearsal, ...] = ()
) -> None:
    """Have a host introduce itself, with another address perhaps."""
    known = replace(host, replication_address=address or host.replication_address)
    facts = HostFacts(
        known.cloud,
        known.hypervisor,
        known.agent_version,
        known.replication_address,
        known.minimum_copy_interval,
    )
    caller = await member(vault, host.id)
    hello = HostHello(facts, host.name, start_count=1, run_id="run-1", rehearsals=tests)
    await introduce(vault, caller, hello)


async def be_restored(vault: Vault) -> None:
    """Let the vault have been restored once."""
    async with vault.store.read() as records:
        control = await records.control()
    await save(vault, replace(control, reconciled_number=1))


async def answer(vault: Vault, host: Host) -> None:
    order = await the_order(vault, host.id)
    await receive_outcome(vault, host.id, order.id, Done())


async def test_the_source_of_a_target_that_moved_is_told_where_it_is(vault: Vault) -> None:
    await protect(vault)
    await says(vault, TARGET, "elsewhere:7404")
    await answer(vault, TARGET)
    told = (await the_order(vault, SOURCE.id)).action
    assert isinstance(told, StartReplication)
    assert (told.target_address, told.is_paused) == ("elsewhere:7404", False)
    await says(vault, TARGET, "elsewhere:7404")
    assert await open_orders(vault, TARGET.id) == (), "it is being told already"
    await answer(vault, SOURCE)
    await says(vault, TARGET, "elsewhere:7404")
    assert await open_orders(vault, TARGET.id) == ()


async def test_a_host_that_comes_back_as_it_was_is_told_nothing(vault: Vault) -> None:
    await protect(vault)
    for host in (SOURCE, TARGET):
        await says(vault, host)
        assert await open_orders(vault, host.id) == ()


async def test_a_policy_that_a_host_could_not_take_is_told_when_it_comes_back(
    vault: Vault,
) -> None:
    await protect(vault)
    longer = timedelta(hours=48)
    await update_policy(vault, BY_ANN, "quick", lambda old: replace(old, retention=longer))
    order = await the_order(vault, TARGET.id)
    await receive_outcome(vault, TARGET.id, order.id, FAILURE)
    assert await open_orders(vault, TARGET.id) == ()
    await says(vault, TARGET)
    told = (await the_order(vault, TARGET.id)).action
    assert isinstance(told, AcceptReplica)
    assert told.retention == longer


async def test_nobody_is_told_beside_a_host_that_is_not_trusted(vault: Vault) -> None:
    await protect(vault)
    await revoke_host(vault, BY_ANN, "a1", "")
    await says(vault, TARGET, "elsewhere:7404")
    assert await open_orders(vault, TARGET.id) == ()
    assert (await the_protection(vault)).state == "protected"


async def test_a_test_failover_that_the_vault_has_forgotten_is_cleaned_up_like_any_other(
    vault: Vault,
) -> None:
    protection = await protect(vault)
    held = HeldRehearsal(RehearsalId("r"), protection.id, protection.generation, 1, "web - test")
    await says(vault, TARGET, tests=(held,))
    async with vault.store.read() as records:
        assert await records.rehearsals.all() == (), "it was never restored: it forgets nothing"
    await be_restored(vault)
    await says(vault, TARGET, tests=(held, replace(held, rehearsal_id=RehearsalId("s")), held))
    async with vault.store.read() as records:
        found = await records.unfinished_rehearsal(protection.id)
    assert found is not None
    assert (found.id, found.state) == ("r", RehearsalState.FAILED)
    await says(vault, TARGET, tests=(held,))
    async with vault.store.read() as records:
        assert await records.rehearsals.all() == (found,)
    await clean_up_rehearsal(vault, BY_ANN, "web", "")
    order = await the_order(vault, TARGET.id)
    assert order.action == CleanUpRehearsal(RehearsalId("r"), protection.id)
    await receive_outcome(vault, TARGET.id, order.id, RehearsalCleanedUp(("machine web - test",)))
    async with vault.store.read() as records:
        assert await records.unfinished_rehearsal(protection.id) is None


async def test_only_the_target_of_a_known_protection_is_believed_about_test_failovers(
    vault: Vault,
) -> None:
    protection = await protect(vault)
    held = HeldRehearsal(RehearsalId("r"), protection.id, protection.generation, 1, "web - test")
    await be_restored(vault)
    await says(vault, SOURCE, tests=(held,))
    await says(vault, TARGET, tests=(replace(held, protection_id=ProtectionId("unknown")),))
    async with vault.store.read() as records:
        assert await records.rehearsals.all() == ()


@pytest.mark.parametrize("is_last", [True, False])
async def test_what_hosts_told_while_the_vault_reconciled_is_not_lost(
    vault: Vault, is_last: bool
) -> None:
    protection = await protect(vault)
    held = HeldRehearsal(RehearsalId("r"), protection.id, protection.generation, 1, "web - test")
    async with vault.store.write() as records:
        await vault.reconciliation.begin(records, "it was restored", vault.clock.now())
    first, last = (SOURCE, TARGET) if is_last else (TARGET, SOURCE)
    tests = {TARGET.id: (held,)}
    seen = []
    for host in (first, last):
        await says(vault, host, tests=tests.get(host.id, ()))
        seen.append(vault.reconciliation.is_reconciling)
    assert seen == [True, False]
    if not is_last:
        # Its session was recalled: it dials again.
        await says(vault, first, tests=(held,))
    async with vault.store.read() as records:
        assert await records.unfinished_rehearsal(protection.id) is not None
