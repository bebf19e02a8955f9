"""The simulated driver keeps every driver's promises, with guests that are real processes."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.hypervisor.interface import (
    Consistency,
    GuestHealth,
    Hypervisor,
    MachineDefinition,
    TrackingLostError,
    View,
)
from agent.hypervisor.simulated import power
from agent.hypervisor.simulated.chain import Chain, read_chain
from agent.hypervisor.simulated.disk_changes import DiskChanges
from agent.hypervisor.simulated.driver import SimulatedHypervisor
from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.faults import Fault, FaultKind, FaultList, Operation
from agent.hypervisor.simulated.guest_requests import GuestRequests
from agent.hypervisor.simulated.host_crash import HostCrash
from agent.hypervisor.simulated.live_disks import Write, copy_sparsely
from agent.hypervisor.simulated.machine_folder import MachineFolder, open_disk
from agent.hypervisor.simulated.migration import Migration
from agent.hypervisor.simulated.power import Power
from agent.hypervisor.simulated.saved_states import SavedStates
from replikera.blocks.extents import Extents
from replikera.machine import MachineDescription
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.processes import SystemProcesses
from replikera.system.randomness import SystemRandomness
from replikera.system.workers import ThreadWorker
from tests.integration.hypervisor import (
    auto_start_promises,
    machine_promises,
    network_promises,
    view_promises,
)
from tests.integration.hypervisor.contract import PROMISES, TAG, Promise, content
from tests.support.simulated_host import MIB, Bed, live_disk, make_bed, make_disk, write_live

SUITE = (auto_start_promises, machine_promises, network_promises, view_promises)
"""The modules whose promises are run."""

PATIENCE_S = 60.0
FILES = SystemFiles()


@dataclass
class SimulatedBench:
    """A simulated host with one machine, "web"."""

    bed: Bed
    machine: MachineFolder
    worker: ThreadWorker
    clock: SystemClock
    processes: SystemProcesses

    @property
    def machine_id(self) -> str:
        return self.machine.read().description.machine_id

    @property
    def hypervisor(self) -> Hypervisor:
        return self.restarted()

    def restarted(self, keep_views: int = 0) -> Hypervisor:
        return SimulatedHypervisor(
            FILES,
            self.worker,
            self.clock,
            SystemRandomness(),
            self.processes,
            self.bed.host.root,
            keep_views,
        )

    async def write(self, disk: int, offset: int, data: bytes) -> None:
        write_live(self.machine, Write(disk, offset, data))

    def recovered_disks(self, description: MachineDescription) -> Mapping[str, Path]:
        paths = {}
        for index, disk in enumerate(description.disks):
            paths[disk.disk_id] = self.bed.host.storage_path / f"{index}.vhdx"
            copy_sparsely(FILES, live_disk(self.machine, index), paths[disk.disk_id])
        return paths

    async def start_guest(self) -> None:
        health = await self.start_workload()
        assert health.is_healthy, health.summary

    def tracking_losses(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        return {
            "a revert": self.revert,
            "a crash of the host": self.crash_host,
            "a write to the file": self.write_past_the_guest,
        }

    async def revert(self) -> None:
        states = SavedStates(FILES, self.bed.host, self.effects)
        states.save("web", "before")
        await self.write(0, 4096, b"later" + bytes(507))
        states.revert("web", "before")

    async def crash_host(self) -> None:
        await self.start_guest()
        crash = HostCrash(
            FILES,
            SystemRandomness(),
            self.worker,
            self.bed.host,
            power=self.power,
            effects=self.effects,
        )
        assert await crash.crash() == ["web"]

    async def write_past_the_guest(self) -> None:
        with open_disk(FILES, live_disk(self.machine), SystemRandomness()) as image:
            image.write(b"unseen" + bytes(506), 2 * MIB)

    async def start_host(self) -> None:
        arguments = ["boot", "--root", str(self.bed.host.root)]
        program = "from agent.hypervisor.simulated.commands import app; app()"
        command = [sys.executable, "-c", program, *arguments]
        done = await self.processes.run(command, timeout=PATIENCE_S)
        assert done.exit_code == 0, done.errors

    def changes(self) -> list[tuple[str, str]]:
        return [(subject, tag) for _, subject, tag in self.bed.logged()]

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = self.clock.monotonic() + PATIENCE_S
        while not is_so():
            assert self.clock.monotonic() < deadline, f"{what} in {PATIENCE_S} s"
            await self.clock.sleep(0.02)

    async def wait_for_answer(self, machine_id: str) -> None:
        folder = self.bed.host.get(machine_id)
        await self.until(lambda: power.health(folder).is_answering, "no answer")

    async def wait_until_off(self, machine_id: str) -> None:
        folder = self.bed.host.get(machine_id)
        guest = power.read_guest(folder)

        def is_off() -> bool:
            is_alive = guest is not None and self.processes.is_alive(guest.process_id)
            return not folder.is_running() and not is_alive

        await self.until(is_off, "not off")

    @property
    def effects(self) -> Effects:
        return Effects(FILES, self.clock, SystemRandomness(), self.bed.host.root)

    @property
    def power(self) -> Power:
        return Power(self.worker, self.clock, self.processes, self.effects)

    def ask_for(self, fault: Fault) -> None:
        FaultList(FILES, SystemRandomness(), self.bed.host.root).add(fault)

    async def start_workload(self) -> GuestHealth:
        await self.power.start(self.machine, has_workload=True)
        await self.wait_for_answer(self.machine_id)
        return power.health(self.machine)

    def guest_process(self) -> int:
        guest = power.read_guest(self.machine)
        assert guest is not None
        return guest.process_id

    async def new_records(self) -> None:
        """Return once the guest wrote again, which its tracking log shows."""
        tracking = self.machine.path / "tracking"

        def state() -> list[tuple[str, int]]:
            return [(path.name, path.stat().st_size) for path in sorted(tracking.glob("*.ranges"))]

        before = state()
        await self.until(lambda: state() != before, "no new records")


@pytest.fixture
def worker() -> Iterator[ThreadWorker]:
    worker = ThreadWorker("host", threads=2)
    yield worker
    worker.close()


@pytest.fixture
async def bench(tmp_path: Path, worker: ThreadWorker) -> AsyncIterator[SimulatedBench]:
    bed = make_bed(tmp_path)
    disks = [make_disk(tmp_path / f"{name}.vhdx", {MIB: name.encode() * 512}) for name in "ab"]
    machine = bed.machine("web", disks=disks, starts_with_host=True)
    bench = SimulatedBench(bed, machine, worker, SystemClock(), SystemProcesses())
    yield bench
    for folder, found in bed.host.machines():
        await bench.hypervisor.power_off(found.description.machine_id)
        assert not folder.is_running()


def test_the_suite_is_whole() -> None:
    assert {promise.__module__ for promise in PROMISES} == {module.__name__ for module in SUITE}


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_the_driver_keeps_its_promise(promise: Promise, bench: SimulatedBench) -> None:
    await promise(bench)


def chain_of(paths: Iterable[Path]) -> Chain:
    with ExitStack() as stack:
        chain = read_chain([stack.enter_context(open_disk(FILES, path)) for path in paths])
    assert chain is not None
    return chain


def disks_in(folder: Path, description: MachineDescription) -> list[Path]:
    return [folder / f"{disk.disk_id}.vhdx" for disk in description.disks]


def view_folder(bench: SimulatedBench, view: View) -> Path:
    return bench.machine.views_path / view.view_id


async def test_views_of_a_writing_guest_are_whole_and_their_differences_are_tracked(
    bench: SimulatedBench,
) -> None:
    await bench.start_workload()
    hypervisor = bench.hypervisor
    first = await hypervisor.freeze(bench.machine_id, TAG)
    older = await content(hypervisor, first)
    oldest = chain_of(disks_in(view_folder(bench, first), first.description))
    mark = await hypervisor.keep(first)
    newest = oldest.newest
    for _ in range(4):
        await bench.new_records()
        view = await hypervisor.freeze(bench.machine_id, TAG)
        newer = await content(hypervisor, view)
        changed = await hypervisor.changed_ranges(view, mark)
        for old, new, ranges in zip(older, newer, changed.values(), strict=True):
            for offset, length in Extents.whole(len(new)).subtract(ranges):
                assert old[offset : offset + length] == new[offset : offset + length]
        chain = chain_of(disks_in(view_folder(bench, view), view.description))
        assert chain.newest > newest
        # The guest has gone on meanwhile, and the view has not.
        await bench.new_records()
        assert await content(hypervisor, view) == newer
        newest, older = chain.newest, newer
        mark = await hypervisor.keep(view)
    assert (await hypervisor.guest_health(bench.machine_id)).is_healthy


async def test_a_killed_guest_leaves_a_whole_chain_that_the_next_continues(
    bench: SimulatedBench,
) -> None:
    await bench.start_workload()
    newest = 0
    for _ in range(3):
        # The log comes before the data: a second entry shows that the first burst was written.
        await bench.new_records()
        await bench.new_records()
        os.kill(bench.guest_process(), signal.SIGKILL)
        await bench.until(lambda: not bench.processes.is_alive(bench.guest_process()), "alive")
        assert not bench.machine.is_running()
        chain = chain_of([live_disk(bench.machine, index) for index in range(2)])
        assert chain.newest > newest
        health = await bench.start_workload()
        assert (health.is_healthy, health.records) == (True, chain.verified), health.summary
        newest = chain.newest


async def test_a_guest_outlives_the_agent_and_is_ended_by_the_next(bench: SimulatedBench) -> None:
    await bench.start_workload()
    process_id = bench.guest_process()
    # A restarted agent is no parent of the guest and knows only what is on disk.
    stranger = SimulatedHypervisor(
        FILES, bench.worker, bench.clock, SystemRandomness(), SystemProcesses(), bench.bed.host.root
    )
    (machine,) = (await stranger.inventory()).machines
    assert machine.is_running
    await stranger.start(bench.machine_id)
    assert bench.guest_process() == process_id
    await stranger.power_off(bench.machine_id)
    assert not bench.machine.is_running()
    assert not bench.processes.is_alive(process_id)


async def test_a_recovered_machine_verifies_the_records_of_its_point(bench: SimulatedBench) -> None:
    await bench.start_workload()
    await bench.new_records()
    hypervisor = bench.restarted(keep_views=1)
    view = await hypervisor.freeze(bench.machine_id, TAG)
    await hypervisor.keep(view)
    kept = bench.bed.host.root / "kept-views" / "web" / view.view_id
    paths = {disk.disk_id: kept / f"{disk.disk_id}.vhdx" for disk in view.description.disks}
    expected = chain_of(disks_in(kept, view.description))
    machine_id = await hypervisor.define_machine(
        MachineDefinition(TAG, "web - test", view.description, paths, {})
    )
    await hypervisor.start(machine_id)
    await bench.wait_for_answer(machine_id)
    health = await hypervisor.guest_health(machine_id)
    assert (health.is_healthy, health.records) == (True, expected.verified)
    assert expected.verified > 0
    assert chain_of(disks_in(kept, view.description)) == expected


async def test_a_recovered_machine_with_disks_of_two_instants_is_unhealthy(
    bench: SimulatedBench,
) -> None:
    await bench.start_workload()
    hypervisor = bench.hypervisor
    older = await hypervisor.freeze(bench.machine_id, TAG)
    await bench.new_records()
    newer = await hypervisor.freeze(bench.machine_id, TAG)
    first, second = (disk.disk_id for disk in older.description.disks)
    paths = {
        first: view_folder(bench, older) / f"{first}.vhdx",
        second: view_folder(bench, newer) / f"{second}.vhdx",
    }
    machine_id = await hypervisor.define_machine(
        MachineDefinition(TAG, "web - test", older.description, paths, {})
    )
    await hypervisor.start(machine_id)
    await bench.wait_for_answer(machine_id)
    health = await hypervisor.guest_health(machine_id)
    assert not health.is_healthy
    assert "record" in health.summary


async def test_the_log_of_a_guest_is_closed_on_an_application_consistent_view(
    bench: SimulatedBench,
) -> None:
    await bench.start_workload()
    hypervisor = bench.hypervisor
    newest = 0
    for _ in range(3):
        await bench.new_records()
        view = await hypervisor.freeze(bench.machine_id, TAG, Consistency.APPLICATION)
        assert (view.consistency, view.fallback) == (Consistency.APPLICATION, "")
        plain = await hypervisor.freeze(bench.machine_id, TAG)
        chain = chain_of(disks_in(view_folder(bench, view), view.description))
        assert chain.is_closed
        assert chain.newest > newest
        newest = chain.newest
        # The guest has gone on; it closed nothing for the next view.
        await bench.new_records()
        later = await hypervisor.freeze(bench.machine_id, TAG)
        assert not chain_of(disks_in(view_folder(bench, later), later.description)).is_closed
        for each in (view, plain, later):
            await hypervisor.discard(each)
    assert (await hypervisor.guest_health(bench.machine_id)).is_healthy


async def test_a_machine_recovered_from_such_a_view_says_that_its_log_was_closed(
    bench: SimulatedBench,
) -> None:
    await bench.start_workload()
    hypervisor = bench.hypervisor
    view = await hypervisor.freeze(bench.machine_id, TAG, Consistency.APPLICATION)
    paths = {
        disk.disk_id: view_folder(bench, view) / f"{disk.disk_id}.vhdx"
        for disk in view.description.disks
    }
    machine_id = await hypervisor.define_machine(
        MachineDefinition(TAG, "web - test", view.description, paths, {})
    )
    await hypervisor.start(machine_id)
    await bench.wait_for_answer(machine_id)
    health = await hypervisor.guest_health(machine_id)
    assert health.is_healthy
    assert health.summary.endswith("and closes the log")


async def test_a_guest_that_is_told_to_fail_costs_the_consistency_of_one_view(
    bench: SimulatedBench,
) -> None:
    await bench.start_workload()
    cause = "the writer of the database timed out"
    bench.ask_for(Fault("", Operation.GUEST_QUIESCE, FaultKind.FAIL, 1, code="x", cause=cause))
    hypervisor = bench.hypervisor
    failed = await hypervisor.freeze(bench.machine_id, TAG, Consistency.APPLICATION)
    assert (failed.consistency, failed.fallback) == (Consistency.CRASH, cause)
    again = await hypervisor.freeze(bench.machine_id, TAG, Consistency.APPLICATION)
    assert again.consistency is Consistency.APPLICATION
    newer = chain_of(disks_in(view_folder(bench, again), again.description))
    older = chain_of(disks_in(view_folder(bench, failed), failed.description))
    assert older.newest < newer.newest


async def test_a_guest_whose_power_is_cut_leaves_tracking_whole(bench: SimulatedBench) -> None:
    await bench.start_workload()
    hypervisor = bench.hypervisor
    first = await hypervisor.freeze(bench.machine_id, TAG)
    before = await content(hypervisor, first)
    mark = await hypervisor.keep(first)
    for _ in range(3):
        await bench.new_records()
        await bench.power.cut(bench.machine)
        assert not bench.machine.is_running()
        assert (await bench.start_workload()).is_healthy
    view = await hypervisor.freeze(bench.machine_id, TAG)
    changed = await hypervisor.changed_ranges(view, mark)
    after = await content(hypervisor, view)
    for old, new, ranges in zip(before, after, changed.values(), strict=True):
        for offset, length in Extents.whole(len(new)).subtract(ranges):
            assert old[offset : offset + length] == new[offset : offset + length]


async def test_the_workload_goes_on_through_all_that_happens_to_its_disks(
    bench: SimulatedBench, tmp_path: Path
) -> None:
    changes = DiskChanges(FILES, SystemRandomness(), bench.bed.host, bench.effects)
    newest = 0

    async def next_run() -> None:
        nonlocal newest
        health = await bench.start_workload()
        assert health.is_healthy, health.summary
        await bench.new_records()
        await bench.new_records()
        await bench.hypervisor.shut_down(bench.machine_id)
        await bench.wait_until_off(bench.machine_id)
        count = len(bench.machine.read().description.disks)
        chain = chain_of([live_disk(bench.machine, index) for index in range(count)])
        assert chain.is_closed
        assert chain.newest > newest
        newest = chain.newest

    await next_run()
    changes.resize("web", "a.vhdx", 21 * MIB)
    await next_run()
    changes.add("web", make_disk(tmp_path / "c.vhdx"))
    await next_run()
    changes.resize("web", "a.vhdx", 13 * MIB)
    changes.remove("web", "c.vhdx")
    await next_run()
    view = await bench.hypervisor.freeze(bench.machine_id, TAG)
    assert [disk.size for disk in view.description.disks] == [13 * MIB, 8 * MIB]
    assert chain_of(disks_in(view_folder(bench, view), view.description)).newest == newest


async def test_a_machine_that_moved_is_unknown_here_and_untracked_there(
    bench: SimulatedBench, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    there = make_bed(tmp_path / "there")
    await bench.start_workload()
    machine_id = bench.machine_id
    mark = await bench.hypervisor.keep(await bench.hypervisor.freeze(machine_id, TAG))
    await bench.hypervisor.shut_down(machine_id)
    await bench.wait_until_off(machine_id)
    Migration(FILES, SystemRandomness(), bench.clock, bench.bed.host, there.host).move("web")
    assert (await bench.hypervisor.inventory()).machines == ()
    moved = SimulatedHypervisor(
        FILES, bench.worker, bench.clock, SystemRandomness(), bench.processes, there.host.root
    )
    view = await moved.freeze(machine_id, TAG)
    with pytest.raises(TrackingLostError):
        await moved.changed_ranges(view, mark)
    folder = there.host.get(machine_id)
    assert chain_of(disks_in(folder.views_path / view.view_id, view.description)).is_closed


async def test_a_request_of_an_agent_that_died_keeps_no_other_from_its_view(
    bench: SimulatedBench,
) -> None:
    await bench.start_workload()
    requests = GuestRequests(bench.machine)
    start_id = power.read_power(bench.machine).start_id
    requests.ask_to_quiesce("of-a-dead-agent", start_id)
    await bench.until(lambda: requests.answered(start_id) is not None, "no answer")
    view = await bench.hypervisor.freeze(bench.machine_id, TAG, Consistency.APPLICATION)
    assert view.consistency is Consistency.APPLICATION
    await bench.new_records()
