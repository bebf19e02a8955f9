import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from typing_extensions import override

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.live_disks import LiveDisks, Write, copy_sparsely
from agent.hypervisor.simulated.machine_folder import MachineFolder
from replikera.blocks.extents import Extents
from replikera.ports.files import File
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.simulated_host import (
    MIB,
    Bed,
    KilledError,
    MortalFiles,
    live_disk,
    make_disk,
    read_disk,
)

FILES = SystemFiles()


def test_what_a_burst_wrote_is_in_the_file_when_it_returns(bed: Bed) -> None:
    machine = bed.machine()
    disks = LiveDisks(machine)
    disks.write([Write(0, 4096, b"a" * 4096)], [Write(0, 3 * MIB, b"b" * 512)])
    content = read_disk(live_disk(machine))
    disks.close()
    assert content[4096:8192] == b"a" * 4096
    assert content[3 * MIB : 3 * MIB + 512] == b"b" * 512


def test_a_frozen_file_is_never_written(bed: Bed) -> None:
    machine = bed.machine()
    path = live_disk(machine)
    disks = LiveDisks(machine)
    disks.write([Write(0, 0, b"1" * 4096)])
    frozen = bed.folder / "frozen.vhdx"
    os.link(path, frozen)
    before = frozen.read_bytes()
    disks.write([Write(0, 0, b"2" * 4096)])
    disks.write([Write(0, 5 * MIB, b"3" * 4096)])
    disks.close()
    assert frozen.read_bytes() == before
    assert frozen.stat().st_nlink == path.stat().st_nlink == 1
    assert read_disk(frozen)[:4096] == b"1" * 4096
    assert read_disk(path)[:4096] == b"2" * 4096
    assert read_disk(path)[5 * MIB : 5 * MIB + 4096] == b"3" * 4096


def test_only_disks_that_are_written_are_copied(bed: Bed) -> None:
    paths = [make_disk(bed.folder / f"{name}.vhdx") for name in "ab"]
    machine = bed.machine(disks=paths)
    disks = LiveDisks(machine)
    for index in range(2):
        os.link(live_disk(machine, index), bed.folder / f"frozen-{index}")
    disks.write([Write(1, 0, b"x" * 512)])
    disks.close()
    assert [live_disk(machine, index).stat().st_nlink for index in range(2)] == [2, 1]


def test_a_file_that_is_not_frozen_is_not_copied(bed: Bed) -> None:
    machine = bed.machine()
    before = live_disk(machine).stat().st_ino
    disks = LiveDisks(machine)
    disks.write([Write(0, 0, b"x" * 512)])
    disks.write([Write(0, 0, b"y" * 512)])
    disks.close()
    assert live_disk(machine).stat().st_ino == before


def test_ranges_are_logged_before_the_data_is_written(bed: Bed) -> None:
    machine = bed.machine()
    mark = machine.tracking.rotate()
    disks = LiveDisks(machine)
    with pytest.raises(HypervisorError, match="whole sectors"):
        disks.write([Write(0, 8192, b"x" * 100)])
    disks.close()
    changed = machine.tracking.since(mark, machine.tracking.rotate(), [8 * MIB])
    assert changed == [Extents.of([(8192, 4096)])]


def test_all_groups_of_a_burst_are_logged(bed: Bed) -> None:
    machine = bed.machine()
    mark = machine.tracking.rotate()
    disks = LiveDisks(machine)
    disks.write([Write(0, 0, b"x" * 4096), Write(0, MIB, b"y" * 512)], [Write(0, 4096, b"z" * 512)])
    disks.close()
    changed = machine.tracking.since(mark, machine.tracking.rotate(), [8 * MIB])
    assert changed == [Extents.of([(0, 8192), (MIB, 4096)])]


def test_writing_waits_for_the_machines_lock(bed: Bed) -> None:
    machine = bed.machine()
    disks = LiveDisks(machine)
    is_locked = []

    class Watched(SystemFiles):
        @override
        def open_write(self, path: Path) -> File:
            is_locked.append(self.is_locked(machine.path / "lock"))
            return super().open_write(path)

    machine.tracking._files = Watched()
    disks.write([Write(0, 0, b"x" * 512)])
    disks.close()
    assert is_locked
    assert all(is_locked)


@pytest.mark.parametrize("step", range(1, 9))
def test_a_copy_that_was_cut_off_harms_nothing(bed: Bed, step: int) -> None:
    machine = bed.machine()
    machine.tracking.rotate()
    path = live_disk(machine)
    frozen = bed.folder / "frozen.vhdx"
    os.link(path, frozen)
    before = read_disk(path)
    # Left by an earlier kill: the next copy replaces it.
    path.with_name("web.vhdx.new").write_bytes(b"half")
    mortal = MachineFolder(MortalFiles(step), SystemRandomness(), machine.path)
    with suppress(KilledError):
        disks = LiveDisks(mortal)
        try:
            disks.write([Write(0, 0, b"n" * 512)])
        except KilledError:
            assert read_disk(path) == before
        disks.close()
    again = LiveDisks(machine)
    again.write([Write(0, 0, b"n" * 512)])
    again.close()
    assert read_disk(frozen) == before
    assert read_disk(path) == b"n" * 512 + before[512:]


def test_a_missing_disk_file_is_named(bed: Bed) -> None:
    machine = bed.machine()
    disks = LiveDisks(machine)
    live_disk(machine).unlink()
    with pytest.raises(HypervisorError, match="web.vhdx"):
        disks.write([Write(0, 0, b"x" * 512)])
    disks.close()


def test_a_machine_of_somebody_elses_disks_is_written_where_they_are(bed: Bed) -> None:
    machine = bed.machine()
    outside = make_disk(bed.folder / "outside.vhdx")
    path = machine.path / "machine.json"
    document = json.loads(path.read_text())
    document["disk_paths"] = [str(outside)]
    path.write_text(json.dumps(document))
    disks = LiveDisks(machine)
    disks.write([Write(0, 0, b"x" * 512)])
    disks.close()
    assert read_disk(outside)[:512] == b"x" * 512


def test_a_copy_has_the_holes_of_its_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.write(b"head")
        file.seek(10 * MIB)
        file.write(b"m" * (2 * MIB + 3))
        file.truncate(19 * MIB)
    copy_sparsely(FILES, source, tmp_path / "copy")
    copy = tmp_path / "copy"
    assert copy.read_bytes() == source.read_bytes()
    assert copy.stat().st_blocks * 512 < 4 * MIB
