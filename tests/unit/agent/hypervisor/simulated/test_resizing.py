import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.chain import Chain, read_chain
from agent.hypervisor.simulated.live_disks import LiveDisks
from agent.hypervisor.simulated.machine_folder import MachineFolder, open_disk
from agent.hypervisor.simulated.resizing import Resizing
from agent.hypervisor.simulated.workload import Workload
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.vhdx import ImageKind, create_fixed
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
SIZE = 8 * MIB


def resize(path: Path, size: int, *, former: int = SIZE, files: SystemFiles | None = None) -> int:
    """Resize a disk; return how often the caller was told before."""
    told: list[None] = []
    Resizing(files or FILES, SystemRandomness()).resize(
        path, former, size, lambda: told.append(None)
    )
    return len(told)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_disk(tmp_path / "a.vhdx", {0: b"first" + bytes(507), 3 * MIB: b"x" * 4096})


def test_a_disk_grows_with_its_content(path: Path) -> None:
    before = read_disk(path)
    assert resize(path, 11 * MIB) == 1
    assert read_disk(path) == before + bytes(3 * MIB)


def test_a_disk_shrinks_where_it_has_zeros(path: Path) -> None:
    before = read_disk(path)
    assert resize(path, 4 * MIB) == 1
    assert read_disk(path) == before[: 4 * MIB]


def test_data_is_not_cut_off(path: Path) -> None:
    before = path.read_bytes()
    told: list[None] = []
    with pytest.raises(HypervisorError, match="cannot shrink") as caught:
        Resizing(FILES, SystemRandomness()).resize(path, SIZE, 3 * MIB, lambda: told.append(None))
    assert caught.value.code == "disk-in-use"
    assert told == []
    assert path.read_bytes() == before


def test_a_size_that_the_format_does_not_allow_is_refused(path: Path) -> None:
    for size in (SIZE + 1, 100 << 40):
        with pytest.raises(HypervisorError) as caught:
            resize(path, size)
        assert caught.value.code == "bad-disk"
    assert len(read_disk(path)) == SIZE


def test_a_fixed_disk_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "fixed.vhdx"
    create_fixed(
        FILES.create(path), size=SIZE, block_size=MIB, randomness=SystemRandomness()
    ).close()
    for size in (12 * MIB, 6 * MIB):
        resize(path, size)
        with open_disk(FILES, path) as image:
            assert (image.kind, image.size) == (ImageKind.FIXED, size)


def test_a_file_that_a_view_shares_is_left_alone(path: Path, tmp_path: Path) -> None:
    frozen = tmp_path / "frozen.vhdx"
    os.link(path, frozen)
    before = frozen.read_bytes()
    resize(path, 11 * MIB)
    assert frozen.read_bytes() == before
    assert len(read_disk(path)) == 11 * MIB


def chain_of(machine: MachineFolder) -> Chain | None:
    with open_disk(FILES, live_disk(machine)) as disk:
        return read_chain([disk])


def steps(path: Path, size: int) -> Iterator[int]:
    """Resize with a process that dies one step later every time, until it is done."""
    for step in range(1, 50):
        try:
            resize(path, size, files=MortalFiles(step))
        except KilledError:
            yield step
        else:
            return
    pytest.fail("the resizing does not end")


@pytest.mark.parametrize("size", [9 * MIB, 24 * MIB])
def test_the_workload_goes_on_after_every_resize_also_one_that_was_cut_off(
    bed: Bed, size: int
) -> None:
    machine = bed.machine()
    disks = LiveDisks(machine)
    Workload.begin(disks, UUID(int=5)).burst()
    disks.close()
    path = live_disk(machine)
    os.link(path, bed.folder / "frozen.vhdx")
    expected = chain_of(machine)
    assert expected is not None
    for _ in steps(path, size):
        # Whatever was done, doing it again ends it.
        assert chain_of(machine) in {expected, None}
    assert chain_of(machine) == expected

    disks = LiveDisks(machine)
    Workload(disks, expected).burst()
    disks.close()
    grown = chain_of(machine)
    assert grown is not None
    assert grown.newest > expected.newest

    for smaller in (size - MIB // 2, SIZE):
        for _ in steps(path, smaller):
            assert chain_of(machine) == grown
        assert chain_of(machine) == grown
        assert len(read_disk(path)) == smaller
    with pytest.raises(HypervisorError):
        resize(path, SIZE - MIB)


def test_disks_without_room_for_a_workload_are_resized_too(tmp_path: Path) -> None:
    path = make_disk(tmp_path / "small.vhdx", size=3 * MIB)
    for size in (9 * MIB, 2 * MIB, MIB):
        resize(path, size)
        assert read_disk(path) == bytes(size)


def test_records_are_not_cut_off_however_small_the_disk_is_to_be(bed: Bed) -> None:
    machine = bed.machine()
    disks = LiveDisks(machine)
    Workload.begin(disks, UUID(int=5)).burst()
    disks.close()
    with pytest.raises(HypervisorError) as caught:
        resize(live_disk(machine), MIB)
    assert caught.value.code == "disk-in-use"


def test_a_disk_whose_records_are_damaged_is_left_as_it_is(bed: Bed) -> None:
    machine = bed.machine()
    disks = LiveDisks(machine)
    Workload.begin(disks, UUID(int=5)).burst()
    disks.close()
    path = live_disk(machine)
    resize(path, 9 * MIB)
    with open_disk(FILES, path, SystemRandomness()) as image:
        image.write(b"rk-moved" + bytes(4088), 9 * MIB - 4096)
    with pytest.raises(HypervisorError, match="damaged") as caught:
        resize(path, 10 * MIB, former=9 * MIB)
    assert caught.value.code == "bad-disk"
    assert len(read_disk(path)) == 9 * MIB


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match="missing.vhdx"):
        resize(tmp_path / "missing.vhdx", 9 * MIB)
