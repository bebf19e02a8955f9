from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.hypervisor.guest_address import GuestAddress
from agent.hypervisor.interface import HypervisorError, TrackingLostError
from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.live_disks import Write
from agent.hypervisor.simulated.machine_changes import MachineChanges
from replikera.system.files import SystemFiles
from tests.support.simulated_host import MIB, Bed, live_disk, make_disk, write_live

TAG = "protection-1"


class Bench:
    """A machine of two disks."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        disks = [make_disk(bed.folder / f"{name}.vhdx") for name in "ab"]
        self.machine = bed.machine(disks=disks)
        self.changes = MachineChanges(SystemFiles(), bed.host, bed.effects)
        self.described = self.machine.read()
        self.machine_id = self.described.description.machine_id

    @property
    def paths(self) -> dict[str, Path]:
        """Where the machine's disks were at first."""
        files = self.machine.disk_paths(self.described)
        ids = [disk.disk_id for disk in self.described.description.disks]
        return dict(zip(ids, files, strict=True))

    def detach(self) -> None:
        self.changes.detach_disks(self.machine_id)

    def attach(self, paths: dict[str, Path]) -> None:
        self.changes.attach_disks(self.machine_id, paths)

    def effects(self) -> list[str]:
        return [effect for effect, _, _ in self.bed.logged()]


@pytest.fixture
def bench(bed: Bed) -> Bench:
    return Bench(bed)


def test_detached_disks_come_back_where_they_were(bench: Bench) -> None:
    for _ in range(2):
        bench.detach()
        assert bench.machine.read().description.disks == ()
    assert all(path.is_file() for path in bench.paths.values())
    for _ in range(2):
        bench.attach(bench.paths)
        assert bench.machine.read() == bench.described
    assert bench.effects() == ["disks-detached", "disks-attached"]


def test_disks_come_back_from_other_files_with_the_size_they_have_there(bench: Bench) -> None:
    bench.detach()
    elsewhere = {
        disk_id: make_disk(bench.bed.folder / f"{disk_id}.vhdx", size=9 * MIB)
        for disk_id in bench.paths
    }
    bench.attach(elsewhere)
    machine = bench.machine.read()
    assert bench.machine.disk_paths(machine) == tuple(elsewhere.values())
    assert [disk.size for disk in machine.description.disks] == [9 * MIB] * 2
    assert [disk.disk_id for disk in machine.description.disks] == list(bench.paths)


def test_a_running_machine_keeps_its_disks(bench: Bench) -> None:
    with (
        SystemFiles().lock(bench.machine.guest_lock),
        pytest.raises(HypervisorError, match="running") as caught,
    ):
        bench.detach()
    assert caught.value.code == "still-running"
    assert bench.machine.read() == bench.described


@pytest.mark.parametrize("is_detached", [True, False])
def test_every_disk_is_attached_and_no_other(bench: Bench, *, is_detached: bool) -> None:
    if is_detached:
        bench.detach()
    before = bench.machine.read()
    first = dict(list(bench.paths.items())[:1])
    for wrong in ({}, first, {**bench.paths, "another": live_disk_of(bench)}):
        with pytest.raises(HypervisorError) as caught:
            bench.attach(wrong)
        assert caught.value.code == "unknown-disk"
    assert bench.machine.read() == before


def live_disk_of(bench: Bench) -> Path:
    return next(iter(bench.paths.values()))


def test_disks_that_are_attached_are_not_exchanged(bench: Bench) -> None:
    others = dict.fromkeys(bench.paths, make_disk(bench.bed.folder / "other.vhdx"))
    with pytest.raises(HypervisorError, match="Detach them first") as caught:
        bench.attach(others)
    assert caught.value.code == "disks-attached"


def test_a_bad_file_is_named_and_nothing_is_attached(bench: Bench) -> None:
    bench.detach()
    bad = bench.bed.folder / "bad.vhdx"
    bad.write_bytes(b"junk")
    with pytest.raises(HypervisorError, match="bad.vhdx"):
        bench.attach({**bench.paths, next(iter(bench.paths)): bad})
    assert bench.machine.read().description.disks == ()


def changed_since_mark(bench: Bench, act: list[Write]) -> list[int]:
    """Detach, let somebody write, attach; return how much changed since a mark before that."""
    views = bench.bed.views(bench.machine)
    write_live(bench.machine, Write(0, 0, b"1" * 512), Write(1, 0, b"1" * 512))
    mark = views.keep(views.freeze(TAG))
    bench.detach()
    if act:
        other = bench.bed.machine("other", disks=[live_disk_of(bench)])
        write_live(other, *act)
        SystemFiles().replace(live_disk(other), live_disk_of(bench))
    bench.attach(bench.paths)
    found = views.changed_ranges(views.freeze(TAG), mark)
    return [ranges.total() for ranges in found.values()]


def test_disks_that_were_left_alone_are_tracked_across_the_detachment(bench: Bench) -> None:
    assert changed_since_mark(bench, []) == [0, 0]


def test_disks_that_were_written_meanwhile_have_lost_tracking(bench: Bench) -> None:
    with pytest.raises(TrackingLostError):
        changed_since_mark(bench, [Write(0, 0, b"2" * 512)])


def test_an_address_is_left_to_the_guest_once(bench: Bench) -> None:
    nic = bench.described.description.nics[0].nic_id
    address, other = GuestAddress(("10.1.0.5/24",), ("10.1.0.1",)), GuestAddress()
    for each in (address, address, other):
        bench.changes.set_guest_address(bench.machine_id, nic, each)
    (found,) = bench.machine.read().guest_addresses
    assert (found.nic_id, found.address) == (nic, other)
    assert bench.effects() == ["guest-address-set"] * 2


def test_addresses_of_adapters_are_kept_apart(bed: Bed) -> None:
    bench = Bench(bed)
    machine = replace(
        bench.described,
        description=replace(
            bench.described.description,
            nics=tuple(
                replace(bench.described.description.nics[0], nic_id=f"nic-{number}")
                for number in range(2)
            ),
        ),
    )
    state.MACHINE.save(SystemFiles(), bench.machine.path / "machine.json", machine)
    for number in (1, 0):
        address = GuestAddress((f"10.0.0.{number + 1}/24",))
        bench.changes.set_guest_address(bench.machine_id, f"nic-{number}", address)
    assert {each.nic_id for each in bench.machine.read().guest_addresses} == {"nic-0", "nic-1"}


def test_an_unknown_adapter_is_named(bench: Bench) -> None:
    with pytest.raises(HypervisorError, match="nic-9") as caught:
        bench.changes.set_guest_address(bench.machine_id, "nic-9", GuestAddress())
    assert caught.value.code == "unknown-adapter"


def test_an_unknown_machine_is_named(bench: Bench) -> None:
    changes: list[Callable[[], None]] = [
        lambda: bench.changes.detach_disks("nobody"),
        lambda: bench.changes.attach_disks("nobody", {}),
        lambda: bench.changes.set_guest_address("nobody", "n", GuestAddress()),
    ]
    for change in changes:
        with pytest.raises(HypervisorError, match="nobody") as caught:
            change()
        assert caught.value.code == "unknown-machine"
