from collections.abc import Callable
from pathlib import Path

import pytest

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.machine_creation import MachineCreation
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.simulated_host import MIB, Bed, live_disk, make_disk, read_disk


def creation(bed: Bed) -> MachineCreation:
    return MachineCreation(SystemFiles(), SystemRandomness(), bed.host)


def test_a_machine_is_described_in_full(bed: Bed) -> None:
    disk = make_disk(bed.folder / "system.vhdx", size=9 * MIB)
    machine = creation(bed).create("web", [disk], ["production", "bubble"])
    found = machine.read()
    description = found.description
    assert (description.name, description.processors, description.memory_bytes) == (
        "web",
        2,
        2 << 30,
    )
    assert (description.hardware_generation, description.firmware) == (2, "uefi")
    assert [nic.network for nic in description.nics] == ["production", "bubble"]
    assert len({nic.nic_id for nic in description.nics}) == 2
    assert all(
        nic.mac_address.startswith("00155d") and len(nic.mac_address) == 12
        for nic in description.nics
    )
    (described,) = description.disks
    assert (described.name, described.size, described.logical_sector_size) == (
        "system.vhdx",
        9 * MIB,
        512,
    )
    assert (described.controller, described.controller_number, described.location) == ("scsi", 0, 0)
    assert (found.tag, found.starts_with_host) == ("", False)


def test_disks_are_copies_and_the_originals_stay_as_they_are(bed: Bed) -> None:
    original = make_disk(bed.folder / "a.vhdx", {MIB: b"x" * 512})
    before, status = original.read_bytes(), original.stat()
    machine = creation(bed).create("web", [original], [])
    assert read_disk(live_disk(machine)) == read_disk(original)
    assert live_disk(machine).stat().st_ino != status.st_ino
    assert original.read_bytes() == before
    assert original.stat().st_mtime_ns == status.st_mtime_ns


def test_two_files_of_one_name_become_two_disks(bed: Bed) -> None:
    (bed.folder / "other").mkdir()
    first = make_disk(bed.folder / "a.vhdx", {0: b"1" * 512})
    second = make_disk(bed.folder / "other" / "a.vhdx", {0: b"2" * 512})
    machine = creation(bed).create("web", [first, second, first], [])
    contents = [read_disk(live_disk(machine, index))[:1] for index in range(3)]
    assert contents == [b"1", b"2", b"1"]
    assert len({disk.disk_id for disk in machine.read().description.disks}) == 3
    assert [disk.location for disk in machine.read().description.disks] == [0, 1, 2]


def foreign(folder: Path) -> Path:
    path = folder / "foreign.vhdx"
    path.write_bytes(b"\x7fELF" * 4096)
    return path


def truncated(folder: Path) -> Path:
    path = make_disk(folder / "truncated.vhdx", {0: b"x" * 512})
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - MIB // 2)
    return path


def missing(folder: Path) -> Path:
    return folder / "missing.vhdx"


@pytest.mark.parametrize("make", [foreign, truncated, missing])
def test_a_bad_disk_is_named_and_nothing_is_left(bed: Bed, make: Callable[[Path], Path]) -> None:
    good = make_disk(bed.folder / "good.vhdx")
    bad = make(bed.folder)
    with pytest.raises(HypervisorError, match=bad.name) as caught:
        creation(bed).create("web", [good, bad], ["production"])
    assert caught.value.code == "bad-disk"
    assert caught.value.remedy
    assert list(bed.host.machines_path.iterdir()) == []


def test_an_unknown_network_is_named_and_nothing_is_left(bed: Bed) -> None:
    with pytest.raises(HypervisorError, match="no network wan"):
        creation(bed).create("web", [make_disk(bed.folder / "a.vhdx")], ["wan"])
    assert list(bed.host.machines_path.iterdir()) == []


def test_a_name_is_used_once(bed: Bed) -> None:
    disk = make_disk(bed.folder / "a.vhdx")
    creation(bed).create("web", [disk], [])
    with pytest.raises(HypervisorError, match="already") as caught:
        creation(bed).create("web", [disk], [])
    assert caught.value.code == "machine-exists"


@pytest.mark.parametrize("count", [0, 65])
def test_a_machine_has_one_to_sixty_four_disks(bed: Bed, count: int) -> None:
    disk = make_disk(bed.folder / "a.vhdx")
    with pytest.raises(HypervisorError, match=f"{count} disks"):
        creation(bed).create("web", [disk] * count, [])
