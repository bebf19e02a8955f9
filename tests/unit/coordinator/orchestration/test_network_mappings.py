from dataclasses import replace

import pytest

from coordinator.domain.commands import Command, by_operator
from coordinator.domain.errors import RefusedError, UnknownObjectError
from coordinator.domain.health import HealthLevel
from coordinator.domain.inventory import Inventory
from coordinator.domain.network_mappings import NetworkMapping
from coordinator.domain.nic_placement import NicPlacement, PlacementRule
from coordinator.orchestration.network_mappings import (
    NetworkChange,
    NetworkMappingDetail,
    NetworkNames,
    change_mapping,
    create_mapping,
    delete_mapping,
    mapping_detail,
    mapping_statuses,
)
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.examples import MACHINE, SOURCE, TARGET
from tests.unit.coordinator.vaults import BUBBLE, BY_ANN, DR_LAN, LAN, equip, kinds, protect

NAMES = NetworkNames("a1", "lan", "b1", "dr-lan", None)


def once(key: str) -> Command:
    return by_operator("ann", key, key.encode())


async def the_mapping(vault: Vault, mapping_id: str = "mapping") -> NetworkMappingDetail:
    async with vault.store.read() as records:
        return await mapping_detail(records, mapping_id)


async def mappings(vault: Vault) -> tuple[NetworkMapping, ...]:
    async with vault.store.read() as records:
        return await records.mappings.all()


async def test_a_network_is_mapped_once_towards_a_host(vault: Vault) -> None:
    await equip(vault)
    with pytest.raises(RefusedError, match="lan of host a1 is mapped to dr-lan of host b1"):
        await create_mapping(vault, BY_ANN, NAMES)
    with pytest.raises(UnknownObjectError):
        await create_mapping(vault, BY_ANN, replace(NAMES, primary_host="c1"))
    back = NetworkNames("b1", "dr-lan", "a1", "lan", None)
    made = await create_mapping(vault, once("back"), back)
    assert await create_mapping(vault, once("back"), back) == made
    assert made.status.mapping in await mappings(vault)
    assert len(await mappings(vault)) == 2


async def test_a_mapping_tells_whose_adapters_go_where(vault: Vault) -> None:
    await equip(vault)
    assert (await the_mapping(vault)).concerned == ()
    protection = await protect(vault)
    (concerned,) = (await the_mapping(vault)).concerned
    assert concerned.protection == protection
    assert concerned.placements == (NicPlacement("nic-0", "dr-lan", "", PlacementRule.NO_SUBNETS),)


async def test_a_machine_that_its_host_lists_no_more_is_not_concerned(vault: Vault) -> None:
    await protect(vault)
    async with vault.store.write() as records:
        await records.inventories.replace(SOURCE.id, Inventory((), (LAN,)))
    assert (await the_mapping(vault)).concerned == ()
    nics = tuple(replace(nic, network="other") for nic in MACHINE.description.nics)
    moved = replace(MACHINE, description=replace(MACHINE.description, nics=nics))
    async with vault.store.write() as records:
        await records.inventories.replace(SOURCE.id, Inventory((moved,), (LAN,)))
    assert (await the_mapping(vault)).concerned == ()


async def test_a_change_keeps_what_it_does_not_name(vault: Vault) -> None:
    await protect(vault)
    other = replace(DR_LAN, name="dr-2", subnets=("10.0.0.0/8", "x"))
    async with vault.store.write() as records:
        await records.inventories.replace(TARGET.id, Inventory((), (DR_LAN, BUBBLE, other)))
    wanted = NetworkChange("dr-2", None, is_test_network_given=False)
    changed = await change_mapping(vault, BY_ANN, "mapping", wanted)
    mapping = changed.status.mapping
    assert (mapping.secondary_network, mapping.test_network) == ("dr-2", "bubble")
    (concerned,) = changed.concerned
    assert concerned.placements == (
        NicPlacement("nic-0", "dr-2", "10.0.0.0/8", PlacementRule.SAME_SUBNET),
    )
    without = NetworkChange(None, None, is_test_network_given=True)
    mapping = (await change_mapping(vault, BY_ANN, "mapping", without)).status.mapping
    assert (mapping.secondary_network, mapping.test_network) == ("dr-2", None)
    assert (await kinds(vault))[-2:] == ["network-mapping-changed"] * 2


async def test_a_change_that_changes_nothing_leaves_no_line(vault: Vault) -> None:
    await equip(vault)
    before = await kinds(vault)
    nothing = NetworkChange("dr-lan", "bubble", is_test_network_given=True)
    for _ in range(2):
        await change_mapping(vault, once("same"), "mapping", nothing)
    assert await kinds(vault) == before


async def test_a_repeated_change_is_not_carried_out_again(vault: Vault) -> None:
    await equip(vault)
    without = NetworkChange(None, None, is_test_network_given=True)
    await change_mapping(vault, once("off"), "mapping", without)
    again = NetworkChange(None, "bubble", is_test_network_given=True)
    await change_mapping(vault, BY_ANN, "mapping", again)
    shown = await change_mapping(vault, once("off"), "mapping", without)
    assert shown.status.mapping.test_network == "bubble"


async def test_deleting_tells_which_protections_it_concerns_each_time_it_is_asked(
    vault: Vault,
) -> None:
    await protect(vault)
    gone = await delete_mapping(vault, once("gone"), "mapping")
    assert (gone.id, gone.protections) == ("mapping", ("web",))
    assert await mappings(vault) == ()
    assert await delete_mapping(vault, once("gone"), "mapping") == gone
    with pytest.raises(UnknownObjectError):
        await delete_mapping(vault, BY_ANN, "mapping")
    assert (await kinds(vault))[-1] == "network-unmapped"


async def test_a_mapping_to_a_network_that_is_gone_is_broken(vault: Vault) -> None:
    await protect(vault)
    async with vault.store.write() as records:
        await records.inventories.replace(TARGET.id, Inventory((), (BUBBLE,)))
    detail = await the_mapping(vault)
    assert detail.status.health.level is HealthLevel.CRITICAL
    (concerned,) = detail.concerned
    assert concerned.placements[0].rule is PlacementRule.NETWORK_GONE
    async with vault.store.read() as records:
        (status,) = await mapping_statuses(records, await records.mappings.all())
    assert status == detail.status
