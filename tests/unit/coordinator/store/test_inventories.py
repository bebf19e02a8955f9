from dataclasses import replace

import pytest

from coordinator.domain.errors import RefusedError, UnknownObjectError
from coordinator.domain.identifiers import MachineId
from coordinator.domain.inventory import Inventory
from coordinator.orchestration.vault import Vault
from coordinator.store.repository import GROUP
from tests.unit.coordinator.examples import MACHINE, SOURCE, TARGET
from tests.unit.coordinator.vaults import BUBBLE, DR_LAN, LAN, equip


async def test_each_host_replaces_only_its_own(vault: Vault) -> None:
    await equip(vault)
    other = replace(MACHINE, id=MachineId("other"), name="db", host_id=TARGET.id)
    async with vault.store.write() as records:
        await records.inventories.replace(TARGET.id, Inventory((other,), (BUBBLE,)))
    async with vault.store.read() as reading:
        assert (await reading.inventories.machines_page()).items == (other, MACHINE)
        assert (await reading.inventories.networks_page()).items == (BUBBLE, LAN)
    async with vault.store.write() as records:
        await records.inventories.replace(TARGET.id, Inventory((), (DR_LAN, BUBBLE)))
        assert (await records.inventories.machines_page()).items == (MACHINE,)
        assert set(await records.inventories.networks_of(TARGET.id)) == {BUBBLE, DR_LAN}
        assert await records.inventories.networks_of(SOURCE.id) == (LAN,)


async def test_a_machine_is_found_by_name_or_id_unless_two_have_it(vault: Vault) -> None:
    await equip(vault)
    twin = replace(MACHINE, host_id=TARGET.id)
    async with vault.store.write() as records:
        inventories = records.inventories
        assert await inventories.machine("web") == await inventories.machine(MACHINE.id) == MACHINE
        assert await inventories.machine_of(SOURCE.id, MACHINE.id) == MACHINE
        assert await inventories.machine_of(TARGET.id, MACHINE.id) is None
        await inventories.replace(TARGET.id, Inventory((twin,), ()))
        for name in ("web", MACHINE.id):
            with pytest.raises(RefusedError, match=f"host lists machine {name}") as refused:
                await inventories.machine(name)
            assert "--source-host" in refused.value.remedy
            assert await inventories.machine(name, TARGET.id) == twin
            assert await inventories.machine(name, SOURCE.id) == MACHINE
        await inventories.replace(TARGET.id, Inventory((replace(twin, id=MachineId("n")),), ()))
        with pytest.raises(RefusedError, match="has the name web") as refused:
            await inventories.machine("web")
        assert "replikera vm list" in refused.value.remedy
        with pytest.raises(UnknownObjectError) as caught:
            await inventories.machine("nobody")
    assert caught.value.code == "unknown-machine"
    assert "replikera vm list" in caught.value.remedy


async def test_some_machines_of_one_host_are_found_at_once(vault: Vault) -> None:
    await equip(vault)
    many = tuple(
        replace(MACHINE, id=MachineId(f"m-{at}"), name=f"vm-{at:04}") for at in range(GROUP + 3)
    )
    async with vault.store.write() as records:
        inventories = records.inventories
        await inventories.replace(SOURCE.id, Inventory(many, (LAN,)))
        ids = [machine.id for machine in many]
        assert await inventories.machines_of(SOURCE.id, reversed(ids)) == many
        assert await inventories.machines_of(SOURCE.id, (MachineId("gone"), ids[1])) == many[1:2]
        assert await inventories.machines_of(TARGET.id, ids) == ()
        assert await inventories.machines_of(SOURCE.id, ()) == ()
        both = await inventories.networks_of(SOURCE.id, TARGET.id, SOURCE.id)
        assert set(both) == {LAN, DR_LAN, BUBBLE}
        assert len(both) == 3
