from dataclasses import replace
from datetime import timedelta

from coordinator.domain.hello import HostHello
from coordinator.domain.hosts import Host, HostFacts
from coordinator.domain.orders import AcceptReplica, Done, Failure, StartReplication
from coordinator.orchestration.catalogue import update_policy
from coordinator.orchestration.introductions import introduce
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.trust import revoke_host
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import (
    BY_ANN,
    member,
    open_orders,
    protect,
    the_order,
    the_protection,
)

FAILURE = Failure("disk-busy", "A disk is in use.", "Stop who uses it.")


async def says(vault: Vault, host: Host, address: str = "") -> None:
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
    await introduce(vault, caller, HostHello(facts, host.name, start_count=1, run_id="run-1"))


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
