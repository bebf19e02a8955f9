from uuid import UUID

import pytest

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.chain import Chain, read_chain
from agent.hypervisor.simulated.layout import DiskTooSmallError, region_of
from agent.hypervisor.simulated.live_disks import LiveDisks
from agent.hypervisor.simulated.machine_folder import MachineFolder, open_disk
from agent.hypervisor.simulated.workload import STEPS_A_BURST, Workload
from replikera.blocks.extents import Extents
from replikera.system.files import SystemFiles
from tests.support.simulated_host import MIB, Bed, live_disk, make_disk, read_disk

WORKLOAD = UUID(int=5)


def chain_of(machine: MachineFolder) -> Chain | None:
    described = machine.read()
    disks = [open_disk(SystemFiles(), path) for path in machine.disk_paths(described)]
    try:
        return read_chain(disks)
    finally:
        for disk in disks:
            disk.close()


def two_disks(bed: Bed) -> MachineFolder:
    noise = bytes(range(1, 256)) * 4112 + bytes(16)
    first = make_disk(bed.folder / "a.vhdx", {offset * MIB: noise[:MIB] for offset in range(8)})
    return bed.machine(disks=[first, make_disk(bed.folder / "b.vhdx", size=4 * MIB)])


def test_records_survive_bursts_and_restarts(bed: Bed) -> None:
    machine = two_disks(bed)
    disks = LiveDisks(machine)
    workload = Workload.begin(disks, WORKLOAD)
    for _ in range(3):
        workload.burst()
    disks.close()
    found = chain_of(machine)
    assert found is not None
    assert found.newest == 3 * STEPS_A_BURST

    disks = LiveDisks(machine)
    workload = Workload(disks, found)
    for _ in range(20):
        workload.burst()
    disks.close()
    again = chain_of(machine)
    assert again is not None
    assert again.newest == 23 * STEPS_A_BURST
    assert again.verified == 2 * again.ring_size
    assert again.workload_id == WORKLOAD


def test_nothing_below_the_region_is_touched_and_all_changes_are_tracked(bed: Bed) -> None:
    machine = two_disks(bed)
    paths = [live_disk(machine, index) for index in range(2)]
    before = [read_disk(path) for path in paths]
    mark = machine.tracking.rotate()
    disks = LiveDisks(machine)
    Workload.begin(disks, WORKLOAD).burst()
    disks.close()
    changed = machine.tracking.since(mark, machine.tracking.rotate(), [8 * MIB, 4 * MIB])
    for path, old, ranges in zip(paths, before, changed, strict=True):
        new = read_disk(path)
        start = region_of(len(new)).offset
        assert new[:start] == old[:start]
        assert new != old
        for offset, length in Extents.whole(len(new)).subtract(ranges):
            assert new[offset : offset + length] == old[offset : offset + length]


def test_old_content_of_the_region_is_no_record(bed: Bed) -> None:
    machine = two_disks(bed)
    disks = LiveDisks(machine)
    Workload.begin(disks, WORKLOAD)
    disks.close()
    found = chain_of(machine)
    assert found is not None
    assert found.newest == 0


def test_later_bursts_stay_in_place(bed: Bed) -> None:
    machine = bed.machine()
    disks = LiveDisks(machine)
    workload = Workload.begin(disks, WORKLOAD)
    size = live_disk(machine).stat().st_size
    for _ in range(20):
        workload.burst()
    disks.close()
    assert live_disk(machine).stat().st_size == size


@pytest.mark.parametrize("torn_after", range(2 * STEPS_A_BURST))
def test_a_burst_that_a_kill_cut_off_leaves_a_whole_chain(bed: Bed, torn_after: int) -> None:
    machine = bed.machine()
    disks = LiveDisks(machine)
    workload = Workload.begin(disks, WORKLOAD)
    for _ in range(6):
        workload.burst()
    image = disks.images[0]
    write = image.write
    writes: list[int] = []

    def die_after_some(data: bytes, offset: int) -> None:
        if len(writes) == torn_after:
            raise OSError(5, "killed")
        writes.append(offset)
        write(data, offset)

    image.write = die_after_some  # type: ignore[method-assign, assignment]  # the kill
    with pytest.raises(HypervisorError):
        workload.burst()
    found = chain_of(machine)
    assert found is not None
    assert found.newest == 6 * STEPS_A_BURST + torn_after // 2
    disks.close()


def test_a_small_disk_is_refused_untouched(bed: Bed) -> None:
    machine = bed.machine(disks=[make_disk(bed.folder / "small.vhdx", size=3 * MIB)])
    before = live_disk(machine).read_bytes()
    disks = LiveDisks(machine)
    with pytest.raises(DiskTooSmallError, match="4 MiB or more"):
        Workload.begin(disks, WORKLOAD)
    disks.close()
    assert live_disk(machine).read_bytes() == before


def test_a_closed_log_is_durable_and_closed_once(bed: Bed) -> None:
    machine = two_disks(bed)
    disks = LiveDisks(machine)
    workload = Workload.begin(disks, WORKLOAD)
    workload.burst()
    workload.close_log()
    workload.close_log()
    found = chain_of(machine)
    assert found is not None
    assert (found.newest, found.is_closed) == (STEPS_A_BURST + 1, True)

    workload.burst()
    found = chain_of(machine)
    assert found is not None
    assert (found.newest, found.is_closed) == (2 * STEPS_A_BURST + 1, False)
    disks.close()


def test_a_log_that_was_closed_before_the_guest_came_is_not_closed_again(bed: Bed) -> None:
    machine = bed.machine()
    disks = LiveDisks(machine)
    Workload.begin(disks, WORKLOAD).close_log()
    found = chain_of(machine)
    assert found is not None
    Workload(disks, found).close_log()
    assert chain_of(machine) == found
    disks.close()
