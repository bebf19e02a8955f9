"""Promises about machines: listed, defined, started, stopped, changed and removed."""

from dataclasses import replace

import pytest

from agent.hypervisor.guest_address import GuestAddress
from agent.hypervisor.interface import (
    DiskCheck,
    HypervisorError,
)
from tests.integration.hypervisor.contract import (
    TAG,
    HypervisorBench,
    definition,
    frozen,
    machines,
    promise,
)


@promise
async def the_inventory_has_the_machine_and_the_networks(bench: HypervisorBench) -> None:
    inventory = await bench.hypervisor.inventory()
    (machine,) = inventory.machines
    assert machine.description.machine_id == bench.machine_id
    assert not machine.is_running
    assert machine.tag == ""
    assert len(machine.description.disks) == 2
    assert len({disk.disk_id for disk in machine.description.disks}) == 2
    assert {network.is_isolated for network in inventory.networks} == {True, False}


@promise
async def an_unknown_machine_is_named(bench: HypervisorBench) -> None:
    hypervisor = bench.hypervisor
    for call in (hypervisor.freeze("nobody", TAG), hypervisor.start("nobody")):
        with pytest.raises(HypervisorError, match="nobody") as caught:
            await call
        assert caught.value.code == "unknown-machine"
        assert caught.value.remedy


@promise
async def a_machine_is_defined_started_and_removed(bench: HypervisorBench) -> None:
    hypervisor = bench.hypervisor
    wanted = await definition(bench)
    machine_id = await hypervisor.define_machine(wanted)
    found = await machines(bench)
    assert found[machine_id].tag == TAG
    assert not found[machine_id].is_running
    assert {nic.network for nic in found[machine_id].description.nics} == set(
        wanted.networks.values()
    )

    await hypervisor.start(machine_id)
    await bench.wait_for_answer(machine_id)
    health = await bench.restarted().guest_health(machine_id)
    assert health.is_answering
    assert health.is_healthy
    assert (await machines(bench))[machine_id].is_running
    with pytest.raises(HypervisorError):
        await hypervisor.remove_machine(machine_id, TAG)

    await bench.restarted().power_off(machine_id)
    await hypervisor.power_off(machine_id)
    assert not (await machines(bench))[machine_id].is_running
    await hypervisor.remove_machine(machine_id, TAG)
    await hypervisor.remove_machine(machine_id, TAG)
    await hypervisor.power_off(machine_id)
    assert list(await machines(bench)) == [bench.machine_id]
    assert all(path.is_file() for path in wanted.disk_paths.values())


@promise
async def define_may_be_repeated(bench: HypervisorBench) -> None:
    wanted = await definition(bench)
    machine_id = await bench.hypervisor.define_machine(wanted)
    assert await bench.restarted().define_machine(wanted) == machine_id
    assert len(await machines(bench)) == 2


@promise
async def start_may_be_repeated(bench: HypervisorBench) -> None:
    machine_id = await bench.hypervisor.define_machine(await definition(bench))
    await bench.hypervisor.start(machine_id)
    await bench.hypervisor.start(machine_id)
    await bench.restarted().start(machine_id)
    await bench.wait_for_answer(machine_id)
    await bench.hypervisor.power_off(machine_id)


@promise
async def an_unknown_network_is_refused(bench: HypervisorBench) -> None:
    wanted = await definition(bench)
    networks = dict.fromkeys(wanted.networks, "nowhere")
    with pytest.raises(HypervisorError, match="nowhere"):
        await bench.hypervisor.define_machine(replace(wanted, networks=networks))
    assert len(await machines(bench)) == 1


@promise
async def what_is_not_ours_is_not_removed(bench: HypervisorBench) -> None:
    with pytest.raises(HypervisorError):
        await bench.hypervisor.remove_machine(bench.machine_id, TAG)
    assert list(await machines(bench)) == [bench.machine_id]


@promise
async def a_machine_is_described_as_the_inventory_has_it(bench: HypervisorBench) -> None:
    (listed,) = (await bench.hypervisor.inventory()).machines
    assert await bench.hypervisor.describe(bench.machine_id) == listed
    assert await bench.hypervisor.networks() == (await bench.hypervisor.inventory()).networks
    with pytest.raises(HypervisorError, match="nobody") as caught:
        await bench.hypervisor.describe("nobody")
    assert caught.value.code == "unknown-machine"


@promise
async def what_is_repeated_is_one_change(bench: HypervisorBench) -> None:
    hypervisor, changes = bench.hypervisor, len(bench.changes())
    wanted = await definition(bench)
    machine_id = await hypervisor.define_machine(wanted)
    await bench.restarted().define_machine(wanted)
    for _ in range(2):
        await bench.restarted().start(machine_id)
    for _ in range(2):
        await bench.restarted().power_off(machine_id)
    for _ in range(2):
        await bench.restarted().remove_machine(machine_id, TAG)
    # Defined, started, powered off, removed.
    assert bench.changes()[changes:] == [(machine_id, TAG)] * 4


@promise
async def a_disk_is_checked_and_left_as_it_is(bench: HypervisorBench) -> None:
    hypervisor = bench.hypervisor
    description = (await hypervisor.describe(bench.machine_id)).description
    paths = bench.recovered_disks(description)
    for disk in description.disks:
        sound = paths[disk.disk_id]
        before = sound.read_bytes()
        assert await hypervisor.check_disk(sound) == DiskCheck(disk.size, "")
        assert sound.read_bytes() == before
    path = paths[description.disks[0].disk_id]
    path.write_bytes(b"no disk")
    found = await hypervisor.check_disk(path)
    assert path.name in found.problem
    path.unlink()
    missing = await hypervisor.check_disk(path)
    assert path.name in missing.problem
    assert missing.size == 0


@promise
async def an_address_is_left_to_the_guest(bench: HypervisorBench) -> None:
    hypervisor, changes = bench.hypervisor, len(bench.changes())
    nic = (await hypervisor.describe(bench.machine_id)).description.nics[0].nic_id
    address = GuestAddress(("10.1.2.3/24", "fd00::3/64"), ("10.1.2.1",), ("10.1.2.53",))
    for _ in range(2):
        await bench.restarted().set_guest_address(bench.machine_id, nic, address)
        machine = await hypervisor.describe(bench.machine_id)
        assert machine.guest_addresses == {nic: address}
    assert len(bench.changes()) == changes + 1
    await hypervisor.set_guest_address(bench.machine_id, nic, GuestAddress())
    assert (await machines(bench))[bench.machine_id].guest_addresses == {nic: GuestAddress()}
    with pytest.raises(HypervisorError) as caught:
        await hypervisor.set_guest_address(bench.machine_id, "another", address)
    assert caught.value.code == "unknown-adapter"


@promise
async def a_guest_that_is_asked_to_shuts_down(bench: HypervisorBench) -> None:
    hypervisor = bench.hypervisor
    await hypervisor.shut_down(bench.machine_id)
    await bench.start_guest()
    for _ in range(2):
        await bench.restarted().shut_down(bench.machine_id)
    await bench.wait_until_off(bench.machine_id)
    await hypervisor.shut_down(bench.machine_id)
    assert not (await hypervisor.describe(bench.machine_id)).is_running
    # A machine that was shut down starts as one that was powered off does.
    await bench.start_guest()
    await hypervisor.power_off(bench.machine_id)
    with pytest.raises(HypervisorError, match="nobody") as caught:
        await hypervisor.shut_down("nobody")
    assert caught.value.code == "unknown-machine"


@promise
async def disks_are_detached_and_attached_again(bench: HypervisorBench) -> None:
    hypervisor, changes = bench.hypervisor, len(bench.changes())
    await bench.write(0, 0, b"a" * 4096)
    mark = await hypervisor.keep(await frozen(bench))
    before = await hypervisor.describe(bench.machine_id)
    changes = len(bench.changes())
    for _ in range(2):
        detached = await bench.restarted().detach_disks(bench.machine_id)
        assert detached.description.disks == ()
        assert detached.disk_paths == before.disk_paths
        assert await hypervisor.describe(bench.machine_id) == detached
    assert all(path.is_file() for path in before.disk_paths.values())
    with pytest.raises(HypervisorError):
        await frozen(bench)
    for _ in range(2):
        attached = await bench.restarted().attach_disks(bench.machine_id, before.disk_paths)
        assert attached == before
    assert [subject for subject, _ in bench.changes()[changes:]] == [bench.machine_id] * 2
    # Nobody wrote to them meanwhile, and that is known.
    changed = await hypervisor.changed_ranges(await frozen(bench), mark)
    assert [ranges.total() for ranges in changed.values()] == [0, 0]


@promise
async def the_disks_of_a_running_machine_stay(bench: HypervisorBench) -> None:
    await bench.start_guest()
    with pytest.raises(HypervisorError) as caught:
        await bench.hypervisor.detach_disks(bench.machine_id)
    assert caught.value.code == "still-running"
    await bench.hypervisor.power_off(bench.machine_id)
    assert len((await bench.hypervisor.describe(bench.machine_id)).description.disks) == 2


@promise
async def only_the_disks_of_the_machine_are_attached(bench: HypervisorBench) -> None:
    hypervisor = bench.hypervisor
    before = (await hypervisor.detach_disks(bench.machine_id)).disk_paths
    with pytest.raises(HypervisorError) as caught:
        await hypervisor.attach_disks(bench.machine_id, dict(list(before.items())[:1]))
    assert caught.value.code == "unknown-disk"
    missing = {disk_id: path.with_name("missing.vhdx") for disk_id, path in before.items()}
    with pytest.raises(HypervisorError) as caught:
        await hypervisor.attach_disks(bench.machine_id, missing)
    assert caught.value.code == "bad-disk"
    for call in (
        hypervisor.detach_disks("nobody"),
        hypervisor.attach_disks("nobody", before),
    ):
        with pytest.raises(HypervisorError, match="nobody") as caught:
            await call
        assert caught.value.code == "unknown-machine"
    await hypervisor.attach_disks(bench.machine_id, before)
