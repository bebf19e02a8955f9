import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from typing_extensions import override

from agent.hypervisor.simulated import guest, power, state
from agent.hypervisor.simulated.chain import Chain, read_chain
from agent.hypervisor.simulated.guest import Guest
from agent.hypervisor.simulated.guest_requests import GuestRequests
from agent.hypervisor.simulated.layout import region_of
from agent.hypervisor.simulated.live_disks import Write
from agent.hypervisor.simulated.machine_folder import MachineFolder, open_disk
from agent.hypervisor.simulated.state import GuestFile, PowerFile
from replikera.system.files import SystemFiles
from tests.support.simulated_host import (
    MIB,
    Bed,
    InlineWorker,
    SteppingClock,
    live_disk,
    make_disk,
    write_live,
)

NO_RECORDS = "no workload records on the disks; disks readable"


class StopAfter(SteppingClock):
    """Stops the guest after a number of bursts."""

    def __init__(self, stopping: asyncio.Event, bursts: int) -> None:
        super().__init__()
        self._stopping = stopping
        self._bursts = bursts

    @override
    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self._bursts -= 1
        if self._bursts <= 0:
            self._stopping.set()


class PausingClock(SteppingClock):
    """Lets others run while it sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeps = 0

    @override
    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self.sleeps += 1
        await asyncio.sleep(0)

    async def slept(self, times: int) -> None:
        """Return when it was slept so often more."""
        wanted = self.sleeps + times
        while self.sleeps < wanted:
            await asyncio.sleep(0)


def said(machine: MachineFolder) -> GuestFile:
    found = power.read_guest(machine)
    assert found is not None
    return found


async def live(machine: MachineFolder, *, bursts: int = 0) -> GuestFile:
    """Let a guest live until it has written, or verified."""
    stopping = asyncio.Event()
    if not bursts:
        stopping.set()
    clock = StopAfter(stopping, bursts)
    await Guest(machine, clock, InlineWorker(), "s1", 77).run(stopping, has_workload=bursts > 0)
    return said(machine)


async def test_a_guest_without_records_reads_its_disks(bed: Bed) -> None:
    assert await live(bed.machine()) == GuestFile("s1", 77, True, True, NO_RECORDS, 0)


async def test_a_guest_writes_and_the_next_one_verifies_and_continues(bed: Bed) -> None:
    machine = bed.machine()
    assert (await live(machine, bursts=2)).summary == NO_RECORDS
    assert (await live(machine)).records == 16
    assert (await live(machine, bursts=3)).records == 16
    found = await live(machine)
    assert (found.is_healthy, found.records) == (True, 40)
    assert found.summary == "40 records verified, the newest is 40"


async def test_a_guest_that_only_verifies_writes_nothing(bed: Bed) -> None:
    machine = bed.machine()
    await live(machine, bursts=1)
    before = live_disk(machine).read_bytes()
    await live(machine)
    assert live_disk(machine).read_bytes() == before


async def test_a_guest_on_changed_disks_is_unhealthy_and_does_not_write(bed: Bed) -> None:
    machine = bed.machine()
    await live(machine, bursts=1)
    slot = region_of(8 * MIB).slot(3, region_of(8 * MIB).ring_size)
    write_live(machine, Write(0, slot, b"?" * 512))
    before = live_disk(machine).read_bytes()
    for bursts in (0, 1):
        stopping = asyncio.Event()
        stopping.set()
        visitor = Guest(machine, SteppingClock(), InlineWorker(), "s2", 78)
        await visitor.run(stopping, has_workload=bursts > 0)
        found = said(machine)
        assert (found.is_answering, found.is_healthy, found.records) == (True, False, 0)
        assert "data of record 3" in found.summary
    assert live_disk(machine).read_bytes() == before


def drop(path: Path) -> None:
    path.unlink()


def spoil(path: Path) -> None:
    path.write_bytes(b"junk")


@pytest.mark.parametrize("harm", [drop, spoil])
async def test_a_disk_that_does_not_open_is_named(bed: Bed, harm: Callable[[Path], None]) -> None:
    machine = bed.machine()
    harm(live_disk(machine))
    found = await live(machine)
    assert not found.is_healthy
    assert "web.vhdx" in found.summary


async def test_a_workload_on_a_small_disk_is_refused(bed: Bed) -> None:
    machine = bed.machine(disks=[make_disk(bed.folder / "small.vhdx", size=3 * MIB)])
    stopping = asyncio.Event()
    stopping.set()
    await Guest(machine, SteppingClock(), InlineWorker(), "s1", 77).run(stopping, has_workload=True)
    assert not said(machine).is_healthy
    assert "4 MiB or more" in said(machine).summary
    assert (await live(machine)).is_healthy


async def test_a_guest_lives_until_it_is_told_to_stop(bed: Bed) -> None:
    machine = bed.machine()
    stopping = asyncio.Event()
    clock = PausingClock()
    visitor = Guest(machine, clock, InlineWorker(), "s1", 77)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(visitor.run(stopping, has_workload=False))
        await clock.slept(5)
        assert not task.done()
        assert said(machine).is_answering
        stopping.set()


def test_a_process_for_a_start_that_is_not_wanted_ends_by_itself(bed: Bed) -> None:
    machine = bed.machine()
    state.POWER.save(SystemFiles(), machine.path / "power.json", PowerFile("another"))
    assert guest.main([str(machine.path), "--start-id", "mine"]) == 0
    assert power.read_guest(machine) is None
    assert not machine.is_running()


async def chain_at(machine: MachineFolder) -> Chain:
    with open_disk(SystemFiles(), live_disk(machine)) as disk:
        chain = read_chain([disk])
    assert chain is not None
    return chain


@pytest.mark.parametrize("has_workload", [True, False])
async def test_a_guest_that_is_asked_to_shut_down_closes_its_log_and_turns_off(
    bed: Bed, *, has_workload: bool
) -> None:
    machine = bed.machine()
    await live(machine, bursts=1)
    state.POWER.save(SystemFiles(), machine.path / "power.json", PowerFile("s2"))
    clock = PausingClock()
    visitor = Guest(machine, clock, InlineWorker(), "s2", 77)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(visitor.run(asyncio.Event(), has_workload=has_workload))
        await clock.slept(3)
        GuestRequests(machine).ask_to_shut_down("s2")
        await task
    assert power.read_power(machine) == PowerFile("")
    assert (await chain_at(machine)).is_closed == has_workload
    if has_workload:
        assert said(machine).is_healthy
        after = await live(machine)
        assert after.summary.endswith("and closes the log")


@pytest.mark.parametrize("bursts", [0, 1])
async def test_a_guest_holds_still_while_it_is_asked_to(bed: Bed, bursts: int) -> None:
    machine = bed.machine()
    await live(machine, bursts=1)
    stopping = asyncio.Event()
    clock = PausingClock()
    visitor = Guest(machine, clock, InlineWorker(), "s1", 77)
    requests = GuestRequests(machine)
    async with asyncio.TaskGroup() as group:
        group.create_task(visitor.run(stopping, has_workload=bursts > 0))
        await clock.slept(2)
        requests.ask_to_quiesce("request-1", "s1")
        while requests.answered("s1") is None:
            await clock.slept(1)
        before = live_disk(machine).read_bytes()
        chain = await chain_at(machine)
        await clock.slept(20)
        assert live_disk(machine).read_bytes() == before
        requests.withdraw("request-1")
        await clock.slept(5)
        assert requests.answered("s1") is None
        stopping.set()
    # Only one with a workload has a log to close, and goes on with it.
    assert chain.is_closed == bool(bursts)
    assert ((await chain_at(machine)).newest > chain.newest) == bool(bursts)


async def test_a_guest_that_is_unwell_holds_still_for_nobody(bed: Bed) -> None:
    machine = bed.machine()
    drop(live_disk(machine))
    stopping = asyncio.Event()
    clock = PausingClock()
    requests = GuestRequests(machine)
    requests.ask_to_quiesce("request-1", "s1")
    async with asyncio.TaskGroup() as group:
        visitor = Guest(machine, clock, InlineWorker(), "s1", 77)
        group.create_task(visitor.run(stopping, has_workload=True))
        await clock.slept(3)
        stopping.set()
    answer = requests.answered("s1")
    assert answer is not None
    assert "web.vhdx" in answer.problem
