from dataclasses import replace

import pytest

from coordinator.domain.errors import UnknownObjectError
from coordinator.domain.identifiers import HostId, StorageMappingId
from coordinator.domain.nic_placement import NicPlacement, PlacementRule
from coordinator.domain.storage_mappings import StorageMapping
from coordinator.orchestration.placement import placement_of
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.examples import MACHINE, NOW, SOURCE, TARGET
from tests.unit.coordinator.vaults import equip, save


async def test_a_machine_is_placed_by_the_mappings_towards_that_host(vault: Vault) -> None:
    await equip(vault)
    offering = replace(TARGET, replica_folders=("/r", "/r/plain"))
    plain = StorageMapping(StorageMappingId("s"), SOURCE.id, "", TARGET.id, "/r/plain", NOW)
    await save(vault, offering, plain)
    async with vault.store.read() as records:
        placed = await placement_of(records, "web", "b1")
        assert (placed.machine, placed.target) == (MACHINE, offering)
        assert placed.storage.folder == "/r/plain"
        assert placed.nics == (
            NicPlacement("nic-0", "dr-lan", "", PlacementRule.NO_SUBNETS),
            NicPlacement("nic-1", "", "", PlacementRule.NOT_MAPPED),
        )
        with pytest.raises(UnknownObjectError):
            await placement_of(records, "web", "c1")
        with pytest.raises(UnknownObjectError):
            await placement_of(records, "nobody", "b1")


async def test_without_mappings_it_is_the_default_path_and_nowhere(vault: Vault) -> None:
    await equip(vault)
    other = replace(TARGET, id=HostId("other"), name="c1")
    await save(vault, other)
    async with vault.store.read() as records:
        placed = await placement_of(records, "web", "c1")
    assert placed.storage.reason.startswith("default path, because no storage mapping")
    assert {item.rule for item in placed.nics} == {PlacementRule.NOT_MAPPED}
