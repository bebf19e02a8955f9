"""What every driver promises, whatever is under it: one suite, run once for each driver.

A driver's test module runs every one of `PROMISES` with its own bench: a host with one stopped machine of two disks
that starts with its host and that no other test sees, and the means to write to that machine's disks as its guest
would, and to start the host.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeAlias

import pytest

from agent.hypervisor.interface import (
    Hypervisor,
    HypervisorError,
    Machine,
    MachineDefinition,
    Mark,
    TrackingLostError,
    View,
)
from replikera.blocks.extents import Extents
from replikera.machine import MachineDescription

TAG = "0d6f1f5e-0000-4000-8000-000000000001"
OTHER_TAG = "0d6f1f5e-0000-4000-8000-000000000002"


class HypervisorBench(Protocol):
    """A driver under test."""

    @property
    def hypervisor(self) -> Hypervisor:
        """Return the driver."""

    def restarted(self) -> Hypervisor:
        """Return the driver as a restarted agent makes it."""

    @property
    def machine_id(self) -> str:
        """Return the id of the machine."""

    async def write(self, disk: int, offset: int, data: bytes) -> None:
        """Write to a disk of the stopped machine, tracked, as its guest would."""

    def recovered_disks(self, description: MachineDescription) -> Mapping[str, Path]:
        """Return new disk files that fit the description, by disk id."""

    async def start_host(self) -> None:
        """Do what the start of the host does: power on what starts with it. Nothing of it runs before."""

    def changes(self) -> list[tuple[str, str]]:
        """Return what was changed on the host up to now, in order: the object, and the tag it was changed for."""

    async def wait_for_answer(self, machine_id: str) -> None:
        """Return once the guest of a started machine answers."""


async def content(hypervisor: Hypervisor, view: View) -> list[bytes]:
    """Return all bytes of all disks of a view."""
    found = []
    for described in view.description.disks:
        disk = await hypervisor.open_disk(view, described.disk_id)
        try:
            assert disk.size == described.size
            found.append(disk.read(disk.size, 0))
        finally:
            disk.close()
    return found


async def frozen(bench: HypervisorBench, tag: str = TAG) -> View:
    return await bench.hypervisor.freeze(bench.machine_id, tag)


Promise: TypeAlias = Callable[[HypervisorBench], Awaitable[None]]
PROMISES: list[Promise] = []


def promise(function: Promise) -> Promise:
    """Add a function to the suite."""
    PROMISES.append(function)
    return function


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
async def a_view_is_one_instant_of_all_disks(bench: HypervisorBench) -> None:
    await bench.write(0, 0, b"a" * 4096)
    await bench.write(1, 0, b"b" * 4096)
    view = await frozen(bench)
    before = await content(bench.hypervisor, view)
    await bench.write(0, 0, b"c" * 4096)
    await bench.write(1, 1 << 20, b"d" * 4096)
    assert [data[:1] for data in before] == [b"a", b"b"]
    assert await content(bench.hypervisor, view) == before
    later = await content(bench.hypervisor, await frozen(bench))
    assert [data[:1] for data in later] == [b"c", b"b"]


@promise
async def data_extents_leave_nothing_out(bench: HypervisorBench) -> None:
    await bench.write(0, 3 << 20, b"x" * 512)
    view = await frozen(bench)
    disk = await bench.hypervisor.open_disk(view, view.description.disks[0].disk_id)
    extents = disk.data_extents()
    for offset, length in Extents.whole(disk.size).subtract(extents):
        assert not any(disk.read(length, offset))
    assert extents.intersect(Extents.of([(3 << 20, 512)])).total() == 512
    disk.close()
    disk.close()


@promise
async def changed_ranges_cover_every_difference(bench: HypervisorBench) -> None:
    first = await frozen(bench)
    before = await content(bench.hypervisor, first)
    mark = await bench.hypervisor.keep(first)
    await bench.write(0, 5120, b"1" * 512)
    await bench.write(1, 2 << 20, b"2" * 8192)
    second = await frozen(bench)
    changed = await bench.hypervisor.changed_ranges(second, mark)
    assert list(changed) == [disk.disk_id for disk in second.description.disks]
    after = await content(bench.hypervisor, second)
    for old, new, ranges in zip(before, after, changed.values(), strict=True):
        assert old != new
        assert 0 < ranges.total() < len(new)
        for offset, length in Extents.whole(len(new)).subtract(ranges):
            assert old[offset : offset + length] == new[offset : offset + length]


@promise
async def nothing_written_is_nothing_changed(bench: HypervisorBench) -> None:
    mark = await bench.hypervisor.keep(await frozen(bench))
    changed = await bench.hypervisor.changed_ranges(await frozen(bench), mark)
    assert [ranges.total() for ranges in changed.values()] == [0, 0]


@promise
async def a_restarted_agent_finds_its_views_and_marks(bench: HypervisorBench) -> None:
    mark = await bench.hypervisor.keep(await frozen(bench))
    first, second = await frozen(bench), await frozen(bench)
    other = await frozen(bench, OTHER_TAG)
    again = bench.restarted()
    assert await again.views(TAG) == (first, second)
    assert await again.views(OTHER_TAG) == (other,)
    assert await again.mark(TAG) == mark
    assert await again.mark(OTHER_TAG) is None
    assert len(await content(again, first)) == 2


@promise
async def keep_may_be_repeated(bench: HypervisorBench) -> None:
    view = await frozen(bench)
    mark = await bench.hypervisor.keep(view)
    assert (mark.machine_id, mark.tag) == (bench.machine_id, TAG)
    assert await bench.restarted().keep(view) == mark
    assert await bench.hypervisor.views(TAG) == ()
    assert await bench.hypervisor.mark(TAG) == mark


@promise
async def a_newer_mark_replaces_the_one_before(bench: HypervisorBench) -> None:
    old = await bench.hypervisor.keep(await frozen(bench))
    new = await bench.hypervisor.keep(await frozen(bench))
    assert await bench.hypervisor.mark(TAG) == new != old
    with pytest.raises(TrackingLostError):
        await bench.hypervisor.changed_ranges(await frozen(bench), old)


@promise
async def discard_may_be_repeated_and_leaves_the_mark(bench: HypervisorBench) -> None:
    mark = await bench.hypervisor.keep(await frozen(bench))
    view = await frozen(bench)
    await bench.hypervisor.discard(view)
    await bench.restarted().discard(view)
    assert await bench.hypervisor.views(TAG) == ()
    assert await bench.hypervisor.mark(TAG) == mark


@promise
async def drop_mark_may_be_repeated(bench: HypervisorBench) -> None:
    mark = await bench.hypervisor.keep(await frozen(bench))
    await bench.hypervisor.drop_mark(mark)
    await bench.hypervisor.drop_mark(mark)
    assert await bench.hypervisor.mark(TAG) is None
    with pytest.raises(TrackingLostError):
        await bench.hypervisor.changed_ranges(await frozen(bench), mark)


@promise
async def a_mark_that_nobody_made_is_tracking_lost(bench: HypervisorBench) -> None:
    view = await frozen(bench)
    with pytest.raises(TrackingLostError):
        await bench.hypervisor.changed_ranges(view, Mark("invented", bench.machine_id, TAG))


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
async def an_isolated_network_is_made_used_and_removed(bench: HypervisorBench) -> None:
    hypervisor = bench.hypervisor
    before = await hypervisor.networks()
    made = await hypervisor.ensure_isolated_network("test-net", TAG)
    assert (made.name, made.is_isolated, made.tag) == ("test-net", True, TAG)
    assert set(await bench.restarted().networks()) == {*before, made}
    assert (await hypervisor.inventory()).networks == await hypervisor.networks()

    wanted = await definition(bench)
    networks = dict.fromkeys(wanted.networks, "test-net")
    machine_id = await hypervisor.define_machine(replace(wanted, networks=networks))
    with pytest.raises(HypervisorError, match="test-net"):
        await hypervisor.remove_isolated_network("test-net", TAG)
    assert made in await hypervisor.networks()

    await hypervisor.remove_machine(machine_id, TAG)
    await hypervisor.remove_isolated_network("test-net", TAG)
    assert await hypervisor.networks() == before


@promise
async def networks_may_be_made_and_removed_again(bench: HypervisorBench) -> None:
    before = await bench.hypervisor.networks()
    changes = len(bench.changes())
    made = await bench.hypervisor.ensure_isolated_network("test-net", TAG)
    assert await bench.restarted().ensure_isolated_network("test-net", TAG) == made
    assert len(await bench.hypervisor.networks()) == len(before) + 1
    assert bench.changes()[changes:] == [("test-net", TAG)]
    await bench.hypervisor.remove_isolated_network("test-net", TAG)
    await bench.restarted().remove_isolated_network("test-net", TAG)
    assert await bench.hypervisor.networks() == before
    assert bench.changes()[changes:] == [("test-net", TAG)] * 2


@promise
async def networks_of_others_are_neither_used_nor_removed(bench: HypervisorBench) -> None:
    await bench.hypervisor.ensure_isolated_network("test-net", TAG)
    before = await bench.hypervisor.networks()
    changes = bench.changes()
    for network in before:
        with pytest.raises(HypervisorError, match=network.name):
            await bench.hypervisor.ensure_isolated_network(network.name, OTHER_TAG)
        with pytest.raises(HypervisorError, match=network.name):
            await bench.hypervisor.remove_isolated_network(network.name, OTHER_TAG)
    assert await bench.hypervisor.networks() == before
    assert bench.changes() == changes


@promise
async def a_blocked_machine_stays_down_when_its_host_starts(bench: HypervisorBench) -> None:
    assert (await bench.hypervisor.describe(bench.machine_id)).starts_with_host
    blocked = await bench.hypervisor.block_auto_start(bench.machine_id, TAG)
    assert not blocked.starts_with_host
    assert await bench.restarted().describe(bench.machine_id) == blocked
    await bench.start_host()
    assert not (await bench.hypervisor.describe(bench.machine_id)).is_running

    allowed = await bench.restarted().allow_auto_start(bench.machine_id, TAG)
    assert allowed.starts_with_host
    assert (await machines(bench))[bench.machine_id] == allowed
    await bench.start_host()
    assert (await bench.hypervisor.describe(bench.machine_id)).is_running
    await bench.hypervisor.power_off(bench.machine_id)


@promise
async def auto_start_may_be_blocked_and_allowed_again(bench: HypervisorBench) -> None:
    hypervisor, changes = bench.hypervisor, len(bench.changes())
    assert (await hypervisor.allow_auto_start(bench.machine_id, TAG)).starts_with_host
    for call in (hypervisor.block_auto_start, bench.restarted().block_auto_start):
        assert not (await call(bench.machine_id, TAG)).starts_with_host
    assert not (await hypervisor.block_auto_start(bench.machine_id, OTHER_TAG)).starts_with_host
    for call in (hypervisor.allow_auto_start, bench.restarted().allow_auto_start):
        # The other tag's block still stands.
        assert not (await call(bench.machine_id, TAG)).starts_with_host
    assert (await hypervisor.allow_auto_start(bench.machine_id, OTHER_TAG)).starts_with_host
    assert bench.changes()[changes:] == [
        (bench.machine_id, tag) for tag in (TAG, OTHER_TAG, TAG, OTHER_TAG)
    ]
    for call in (hypervisor.block_auto_start, hypervisor.allow_auto_start):
        with pytest.raises(HypervisorError, match="nobody"):
            await call("nobody", TAG)


@promise
async def a_defined_machine_starts_with_its_host_once_it_is_allowed_to(
    bench: HypervisorBench,
) -> None:
    machine_id = await bench.hypervisor.define_machine(await definition(bench))
    assert not (await bench.hypervisor.describe(machine_id)).starts_with_host
    assert (await bench.hypervisor.allow_auto_start(machine_id, TAG)).starts_with_host


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


async def machines(bench: HypervisorBench) -> dict[str, Machine]:
    inventory = await bench.hypervisor.inventory()
    return {machine.description.machine_id: machine for machine in inventory.machines}


async def definition(bench: HypervisorBench) -> MachineDefinition:
    inventory = await bench.hypervisor.inventory()
    description = inventory.machines[0].description
    isolated = next(network.name for network in inventory.networks if network.is_isolated)
    return MachineDefinition(
        tag=TAG,
        name=f"{description.name} - test",
        description=description,
        disk_paths=bench.recovered_disks(description),
        networks={nic.nic_id: isolated for nic in description.nics},
    )
