from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain.errors import RefusedError, UnknownObjectError
from coordinator.domain.identifiers import HostId
from coordinator.domain.inventory import Inventory
from coordinator.domain.orders import AcceptReplica, Failure, ReplicaAccepted, Seed
from coordinator.domain.policy_settings import PolicySettings
from coordinator.orchestration.catalogue import create_policy
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.protections import DiskWishes, enable_protection
from coordinator.orchestration.storage_mappings import StorageNames, create_storage_mapping
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.examples import MACHINE, SOURCE, TARGET
from tests.unit.coordinator.vaults import (
    BY_ANN,
    equip,
    open_orders,
    save,
    the_job,
    the_order,
    the_protection,
)


async def test_the_order_is_stored_with_the_decision_and_its_host_is_woken(vault: Vault) -> None:
    await equip(vault)
    session = vault.presence.begin(TARGET.id)
    session.work_waiting.clear()
    job = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    assert session.work_waiting.is_set()
    order = await the_order(vault, TARGET.id)
    assert isinstance(order.action, AcceptReplica)
    assert await the_job(vault, job.id) == job
    assert (await the_protection(vault)).job_id == job.id
    assert await open_orders(vault, SOURCE.id) == ()


async def test_a_machine_is_protected_once(vault: Vault) -> None:
    await equip(vault)
    await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    with pytest.raises(RefusedError, match="web is protected already"):
        await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    assert len(await open_orders(vault, TARGET.id)) == 1


async def test_a_machine_that_two_hosts_list_is_replicated_from_the_one_that_is_named(
    vault: Vault,
) -> None:
    await equip(vault)
    third = replace(SOURCE, id=HostId("third"), name="a2")
    await save(vault, third)
    async with vault.store.write() as records:
        twin = replace(MACHINE, host_id=third.id)
        await records.inventories.replace(third.id, Inventory((twin,), ()))
    with pytest.raises(RefusedError, match="More than one host"):
        await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    with pytest.raises(UnknownObjectError):
        await enable_protection(vault, BY_ANN, "web", "b1", "quick", source="b1")
    await enable_protection(vault, BY_ANN, "web", "b1", "quick", source="a2")
    assert (await the_protection(vault)).source_host_id == third.id


async def test_a_failed_attempt_is_begun_again_with_other_settings(vault: Vault) -> None:
    await equip(vault)
    await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    order = await the_order(vault, TARGET.id)
    await receive_outcome(vault, TARGET.id, order.id, Failure("full", "Full.", "Free it."))
    failed = await the_protection(vault)
    settings = PolicySettings(timedelta(minutes=1), timedelta(hours=9))
    await create_policy(vault, BY_ANN, "slow", settings)
    seeds = (Seed("system.vhdx", "web.vhdx"),)
    await enable_protection(vault, BY_ANN, "web", "b1", "slow", disks=DiskWishes(seeds=seeds))
    again = await the_order(vault, TARGET.id)
    assert isinstance(again.action, AcceptReplica)
    assert again.action.protection_id == failed.id
    assert (again.action.retention, again.action.seeds) == (timedelta(hours=9), seeds)


async def test_a_replica_is_made_in_the_folder_that_its_storage_is_mapped_to(vault: Vault) -> None:
    await equip(vault)
    await save(vault, replace(TARGET, replica_folders=("/default", "/fast")))
    await create_storage_mapping(vault, BY_ANN, StorageNames("a1", "", "b1", "/fast"))
    await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    order = await the_order(vault, TARGET.id)
    assert isinstance(order.action, AcceptReplica)
    assert order.action.storage_folder == "/fast"
    await receive_outcome(vault, TARGET.id, order.id, ReplicaAccepted("/fast/web"))
    assert (await the_protection(vault)).replica_path == "/fast/web"


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("db", "b1", "quick"), "unknown-machine"),
        (("web", "c1", "quick"), "unknown-host"),
        (("web", "b1", "slow"), "unknown-policy"),
    ],
)
async def test_an_unknown_name_leaves_nothing_behind(
    vault: Vault, names: tuple[str, str, str], code: str
) -> None:
    await equip(vault)
    with pytest.raises(UnknownObjectError) as caught:
        await enable_protection(vault, BY_ANN, *names)
    assert caught.value.code == code
    assert await open_orders(vault, TARGET.id) == ()
