from collections.abc import Iterator

import pytest

from agent.hypervisor.interface import HypervisorError, TrackingLostError
from agent.hypervisor.simulated import boot
from agent.hypervisor.simulated.host_crash import COARSE_GRANULE, HostCrash
from agent.hypervisor.simulated.live_disks import LiveDisks, Write
from agent.hypervisor.simulated.machine_folder import MachineFolder
from replikera.blocks.extents import Extents
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.simulated_guest import ScriptedGuest
from tests.support.simulated_host import MIB, Bed, InlineWorker, write_live

TAG = "protection-1"


class Switch:
    """Cuts the power of machines whose guests a test plays."""

    def __init__(self) -> None:
        self.guests: dict[str, ScriptedGuest] = {}

    async def cut(self, machine: MachineFolder) -> None:
        self.guests[machine.path.name].die()


class Bench:
    """Two machines, one of which is running and writing."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.switch = Switch()
        self.running, self.stopped = bed.machine("web"), bed.machine("db")
        self.marks = {}
        for machine in (self.running, self.stopped):
            write_live(machine, Write(0, 0, b"0" * 512))
            views = bed.views(machine)
            self.marks[machine.path.name] = views.keep(views.freeze(TAG))
            write_live(machine, Write(0, 0, b"1" * 512))
        self.switch.guests["web"] = self.guest = ScriptedGuest(self.running)
        self.guest.come_up()
        self.disks = LiveDisks(self.running)
        self.disks.write([Write(0, 3 * MIB + 512, b"2" * 512)])

    async def crash(self, *, keeps_coarse_tracking: bool = False) -> list[str]:
        crash = HostCrash(
            SystemFiles(),
            SystemRandomness(),
            InlineWorker(),
            self.bed.host,
            power=self.switch,  # type: ignore[arg-type]  # only cuts the power
            effects=self.bed.effects,
        )
        return await crash.crash(keeps_coarse_tracking=keeps_coarse_tracking)

    def changed(self, machine: MachineFolder) -> Extents:
        views = self.bed.views(machine)
        mark = self.marks[machine.path.name]
        (ranges,) = views.changed_ranges(views.freeze(TAG), mark).values()
        return ranges


@pytest.fixture
def bench(bed: Bed) -> Iterator[Bench]:
    bench = Bench(bed)
    yield bench
    bench.guest.die()


async def test_machines_that_ran_have_lost_tracking_and_no_others(bench: Bench) -> None:
    before = boot.boot_id(SystemFiles(), bench.bed.host.root)
    frozen = bench.bed.views(bench.running).freeze(TAG)
    assert await bench.crash() == ["web"]
    assert boot.boot_id(SystemFiles(), bench.bed.host.root) != before
    assert not bench.running.is_running()
    # A view that was taken before the crash was complete, and so is what it knows.
    mark = bench.marks["web"]
    assert bench.bed.views(bench.running).changed_ranges(frozen, mark)
    with pytest.raises(TrackingLostError):
        bench.changed(bench.running)
    assert bench.changed(bench.stopped).total() > 0
    assert bench.bed.logged()[-3][0] == "host-crashed"


async def test_a_guest_that_comes_up_first_notices_too(bench: Bench) -> None:
    await bench.crash()
    write_live(bench.running, Write(0, 0, b"3" * 512))
    with pytest.raises(TrackingLostError):
        bench.changed(bench.running)


async def test_a_machine_is_tracked_again_after_the_crash(bench: Bench) -> None:
    await bench.crash()
    views = bench.bed.views(bench.running)
    bench.marks["web"] = views.keep(views.freeze(TAG))
    write_live(bench.running, Write(0, 0, b"3" * 512))
    assert 0 < bench.changed(bench.running).total() < MIB


async def test_a_coarse_map_that_survived_is_believed_and_over_reports(bench: Bench) -> None:
    await bench.crash(keeps_coarse_tracking=True)
    write_live(bench.running, Write(0, 6 * MIB, b"3" * 512))
    changed = bench.changed(bench.running)
    coarse = Extents.of([(0, 1), (3 * MIB + 512, 512)]).align(COARSE_GRANULE, 8 * MIB)
    assert coarse.subtract(changed) == Extents.empty()
    assert changed.intersect(Extents.of([(6 * MIB, 512)])).total() == 512
    assert changed.total() < 4 * MIB


async def test_a_host_without_running_machines_crashes_too(bed: Bed) -> None:
    bed.machine()
    crash = HostCrash(
        SystemFiles(),
        SystemRandomness(),
        InlineWorker(),
        bed.host,
        power=Switch(),  # type: ignore[arg-type]  # nothing to cut
        effects=bed.effects,
    )
    assert await crash.crash() == []
    assert boot.boot_id(SystemFiles(), bed.host.root)


async def test_a_guest_that_does_not_end_keeps_the_host_up(bench: Bench) -> None:
    class Stuck:
        async def cut(self, machine: MachineFolder) -> None:
            raise HypervisorError("power-off-failed", "It does not end.", "End it by hand.")

    bench.switch = Stuck()  # type: ignore[assignment]
    with pytest.raises(HypervisorError):
        await bench.crash()
    assert boot.boot_id(SystemFiles(), bench.bed.host.root) == ""
