"""The guest of a simulated machine: a process of its own that lives until it is told to stop.

It opens every disk and verifies the records on them, as a server's database would after a power cut. As the guest of
a protected machine it then goes on writing records; as that of a recovered one it waits. Either does what it is asked
for: hold still while a view is taken, and shut down.
"""

import argparse
import asyncio
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.chain import BrokenChainError, Chain, read_chain
from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.faults import FaultList, Faults
from agent.hypervisor.simulated.guest_service import GuestService
from agent.hypervisor.simulated.layout import DiskTooSmallError
from agent.hypervisor.simulated.live_disks import LiveDisks
from agent.hypervisor.simulated.machine_folder import MachineFolder, open_disk
from agent.hypervisor.simulated.power import claim, switch_off, write_guest
from agent.hypervisor.simulated.state import GuestFile
from agent.hypervisor.simulated.workload import BURST_INTERVAL_S, Workload
from replikera.ports.clock import Clock
from replikera.ports.workers import Worker
from replikera.stopping import stopping_on_signals
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.system.workers import ThreadWorker
from replikera.vhdx import VhdxError

_FIRST_BYTES = 1 << 20


class Guest:
    """One power-on of a machine."""

    def __init__(
        self, machine: MachineFolder, clock: Clock, worker: Worker, start_id: str, process_id: int
    ) -> None:
        self._machine = machine
        self._clock = clock
        self._worker = worker
        self._start_id = start_id
        self._process_id = process_id
        host, files, randomness = machine.host_path, machine.files, machine.randomness
        self._effects = Effects(files, clock, randomness, host)
        faults = Faults(FaultList(files, randomness, host), worker, clock)
        self._service = GuestService(machine, start_id, worker, clock, faults)

    async def run(self, stopping: asyncio.Event, *, has_workload: bool) -> None:
        """Verify the disks, say how they are, and live until `stopping` is set or the guest is to shut down."""
        problem = ""
        try:
            chain = await self._worker.run(self._examine)
            if has_workload:
                await self._work(stopping, chain)
            else:
                await self._worker.run(self._say_verified, chain)
        except (BrokenChainError, DiskTooSmallError, HypervisorError, VhdxError, OSError) as error:
            problem = str(error)
            await self._worker.run(self._say, is_healthy=False, summary=problem, records=0)
        await self._idle(stopping, problem)
        if not stopping.is_set():
            await self._worker.run(switch_off, self._machine, self._start_id, self._effects)

    async def _idle(self, stopping: asyncio.Event, problem: str) -> None:
        """Serve requests until the guest is to end; with a `problem` it is not ready for any view."""
        while not stopping.is_set() and not await self._service.is_to_shut_down():
            await self._service.quiesce_if_asked(stopping, _has_nothing_to_close, problem)
            await self._clock.sleep(BURST_INTERVAL_S)

    def _examine(self) -> Chain | None:
        """Read the beginning of every disk, and all that its records vouch for."""
        paths = self._machine.disk_paths(self._machine.read())
        with ExitStack() as stack:
            disks = [stack.enter_context(open_disk(self._machine.files, path)) for path in paths]
            for disk in disks:
                disk.read(min(_FIRST_BYTES, disk.size), 0)
            return read_chain(disks)

    async def _work(self, stopping: asyncio.Event, chain: Chain | None) -> None:
        disks = await self._worker.run(LiveDisks, self._machine)
        try:
            workload = await self._worker.run(self._workload, disks, chain)
            await self._worker.run(self._say_verified, chain)
            while not stopping.is_set() and not await self._service.is_to_shut_down():
                await self._service.quiesce_if_asked(stopping, workload.close_log)
                await self._worker.run(workload.burst)
                await self._clock.sleep(BURST_INTERVAL_S)
            if not stopping.is_set():
                await self._worker.run(workload.close_log)
        finally:
            await self._worker.run(disks.close)

    def _workload(self, disks: LiveDisks, chain: Chain | None) -> Workload:
        if chain is not None:
            return Workload(disks, chain)
        return Workload.begin(disks, UUID(self._machine.randomness.uuid()))

    def _say_verified(self, chain: Chain | None) -> None:
        if chain is None:
            summary, records = "no workload records on the disks; disks readable", 0
        else:
            closing = " and closes the log" if chain.is_closed else ""
            summary = f"{chain.verified} records verified, the newest is {chain.newest}{closing}"
            records = chain.verified
        self._say(is_healthy=True, summary=summary, records=records)

    def _say(self, *, is_healthy: bool, summary: str, records: int) -> None:
        guest = GuestFile(self._start_id, self._process_id, True, is_healthy, summary, records)
        write_guest(self._machine, guest)


def _has_nothing_to_close() -> None:
    """Return: a guest without a workload has no log."""


async def _live(machine: MachineFolder, start_id: str, *, has_workload: bool) -> None:
    worker = ThreadWorker("guest", threads=1)
    try:
        with stopping_on_signals() as stopping:
            guest = Guest(machine, SystemClock(), worker, start_id, os.getpid())
            await guest.run(stopping, has_workload=has_workload)
    finally:
        worker.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the guest of one machine."""
    parser = argparse.ArgumentParser(description="The guest of a simulated machine.")
    parser.add_argument("machine", type=Path, help="the machine's folder")
    parser.add_argument("--start-id", required=True, help="the start that this guest is for")
    parser.add_argument("--workload", action="store_true", help="write records until stopped")
    options = parser.parse_args(arguments)
    machine = MachineFolder(SystemFiles(), SystemRandomness(), options.machine.absolute())
    effects = Effects(machine.files, SystemClock(), machine.randomness, machine.host_path)
    with machine.files.lock(machine.guest_lock):
        if not claim(machine, options.start_id, os.getpid(), effects):
            return 0
        asyncio.run(_live(machine, options.start_id, has_workload=options.workload))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
