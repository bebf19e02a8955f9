from dataclasses import replace

import pytest

from coordinator.domain.commands import Command, by_operator
from coordinator.domain.errors import RefusedError, UnknownObjectError
from coordinator.domain.health import HealthLevel
from coordinator.domain.inventory import Inventory
from coordinator.orchestration.storage_mappings import (
    StorageNames,
    create_storage_mapping,
    delete_storage_mapping,
    storage_mapping_detail,
    storage_mapping_statuses,
)
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.examples import MACHINE, SOURCE, TARGET
from tests.unit.coordinator.vaults import BY_ANN, LAN, kinds, protect, save

NAMES = StorageNames("a1", "gold", "b1", "/r/gold")


def once(key: str) -> Command:
    return by_operator("ann", key, key.encode())


async def offer(vault: Vault, *folders: str) -> None:
    await save(vault, replace(TARGET, replica_folders=folders))


async def with_gold_disks(vault: Vault) -> None:
    disks = tuple(replace(disk, storage_class="gold") for disk in MACHINE.description.disks)
    machine = replace(MACHINE, description=replace(MACHINE.description, disks=disks))
    async with vault.store.write() as records:
        await records.inventories.replace(SOURCE.id, Inventory((machine,), (LAN,)))


async def test_a_class_is_mapped_once_towards_a_host(vault: Vault) -> None:
    await protect(vault)
    await offer(vault, "/r", "/r/gold")
    made = await create_storage_mapping(vault, once("gold"), NAMES)
    assert await create_storage_mapping(vault, once("gold"), NAMES) == made
    with pytest.raises(RefusedError, match="class gold is mapped to /r/gold of host b1 already"):
        await create_storage_mapping(vault, BY_ANN, replace(NAMES, folder="/r"))
    with pytest.raises(UnknownObjectError):
        await create_storage_mapping(vault, BY_ANN, replace(NAMES, secondary_host="c1"))
    other = await create_storage_mapping(vault, BY_ANN, replace(NAMES, storage_class=""))
    async with vault.store.read() as records:
        found = await records.storage_mappings_between(SOURCE.id, TARGET.id)
        assert {item.id for item in found} == {made.status.mapping.id, other.status.mapping.id}
        assert await records.storage_mappings_between(TARGET.id, SOURCE.id) == ()
    # The machine's disk is of no class.
    assert [item.machine_name for item in other.concerned] == ["web"]
    assert made.concerned == ()


async def test_a_folder_that_is_offered_no_more_breaks_the_mapping(vault: Vault) -> None:
    await protect(vault)
    await offer(vault, "/r/gold")
    made = await create_storage_mapping(vault, BY_ANN, NAMES)
    assert made.status.health.level is HealthLevel.HEALTHY
    await offer(vault, "/r")
    async with vault.store.read() as records:
        (status,) = await storage_mapping_statuses(records, await records.storage_mappings.all())
    assert status.health.level is HealthLevel.CRITICAL


async def test_deleting_tells_whose_disks_are_of_the_class(vault: Vault) -> None:
    await protect(vault)
    await with_gold_disks(vault)
    await offer(vault, "/r/gold")
    mapping_id = (await create_storage_mapping(vault, BY_ANN, NAMES)).status.mapping.id
    gone = await delete_storage_mapping(vault, once("gone"), mapping_id)
    assert (gone.id, gone.protections) == (mapping_id, ("web",))
    assert await delete_storage_mapping(vault, once("gone"), mapping_id) == gone
    assert (await kinds(vault))[-2:] == ["storage-mapped", "storage-unmapped"]
    async with vault.store.read() as records:
        with pytest.raises(UnknownObjectError, match="storage-mapping list"):
            await storage_mapping_detail(records, mapping_id)
