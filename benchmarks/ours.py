"""Our own side of the comparison: a line of real daemons, its disk shared out over one machine or over many.

Time is told by the recovery points themselves, from the start of the capture to the durable seal; CPU and memory are
the operating system's account of the two agents.
"""

import io
import time
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.live_disks import LiveDisks, Write
from benchmarks.measured import Cost, process_state, reset_peak
from benchmarks.namespace import wire_bytes
from replikera.lab.command_line import LONG_COMMAND_TIMEOUT_S
from replikera.lab.line import MACHINE_NAME, POLICY, Line, agent_name, items
from replikera.lab.machine import Machine
from replikera.lab.narrator import Narrator
from replikera.lab.rehearsing import point_of, recovered_disks
from replikera.lab.run import build, prepare
from replikera.lab.settings_files import host_name

MIB = 1 << 20
_DEADLINE_S = 1800.0
_ALWAYS_SHUT = ("--throttle", "daily 00:00-24:00 0")

Point = Mapping[str, object]


class Ours:
    """A lab whose machines have one disk each, and whose guests are still: the changes come from the benchmark."""

    def __init__(self, machine: Machine, line: Line, names: Sequence[str]) -> None:
        self._machine = machine
        self._line = line
        self.names = tuple(names)

    @property
    def primary_root(self) -> Path:
        """Return the root of the simulated hypervisor whose machines are protected."""
        return self._line.folder.primary.hypervisor

    @classmethod
    async def build(
        cls, machine: Machine, folder: Path, disks: Sequence[Path], *, compression: str = "off"
    ) -> "Ours":
        """Make a lab in `folder` with a machine for each disk, none protected yet."""
        narrator = Narrator(Console(file=io.StringIO()), machine.clock)
        line = await prepare(machine, narrator, folder, kept_views=0)
        await build(machine, narrator, line, disks[:1], has_workload=False)
        names = [MACHINE_NAME, *(f"vm{number:03}" for number in range(2, len(disks) + 1))]
        ours = cls(machine, line, names)
        # The guest would verify and hold the disk.
        await ours._simulate("stop", "--machine", MACHINE_NAME)
        for name, disk in zip(names[1:], disks[1:], strict=True):
            what = ("--name", name, "--disk", str(disk), "--network", "production")
            await ours._simulate("create-machine", *what)
        await ours.update_policy("--compression", compression)
        await ours._wait_for_machines()
        return ours

    async def end(self) -> None:
        """End the daemons."""
        await self._line.end()

    async def replicate(self) -> Cost:
        """Protect all machines at once and return what their first recovery points cost."""
        for disk in (self.primary_root / "machines").rglob("*.vhdx"):
            _warm(disk)
        if len(self.names) == 1:
            return await self._cost(self._enable(), {})
        # They begin together: behind a throttle that lets nothing pass until it is taken away.
        await self.update_policy(*_ALWAYS_SHUT)
        await self._enable()
        return await self._cost(self.update_policy("--no-throttle"), {}, from_now=True)

    async def change(self, size: int, changes: Sequence[tuple[int, bytes]]) -> Cost:
        """Write the changes of a disk of `size` bytes in one burst a machine; return what their points cost."""
        await self._machine.clock.sleep(3)
        share = share_of(size, len(self.names))
        writing = self._machine.worker.run(self._write, share, changes)
        return await self._cost(writing, await self._newest())

    async def protect_all(self) -> None:
        """Protect all machines and return when each has a recovery point."""
        await self._enable()
        for name in self.names:
            await self._next_point(name, 0, with_data=False)

    async def pause(self) -> None:
        """Pause the first machine's protection and return when it is."""
        await self._replikera("protection", "pause", self.names[0], "--wait")

    async def resume(self) -> Cost:
        """Resume the first machine's protection; return what its next point with data cost."""
        resuming = self._replikera("protection", "resume", self.names[0])
        return await self._cost(resuming, await self._newest())

    async def update_policy(self, *options: str) -> None:
        """Change the one policy."""
        await self._replikera("policy", "update", POLICY, *options)

    async def recover(self, name: str) -> tuple[Path, datetime]:
        """Recover a machine's latest point; return its disk, and when the capture of the point began."""
        test = ("replikera", "test-failover")
        await self._line.commands.run(
            *(*test, "start", name, "--wait"), timeout=LONG_COMMAND_TIMEOUT_S
        )
        shown = await self._line.commands.ask(*test, "show", name)
        sequence = point_of(shown).sequence
        captured = next(
            _time(point, "capture_started_at")
            for point in await self.points(name)
            if _sequence(point) == sequence
        )
        return recovered_disks(shown)[0][1], captured

    async def rehearse(self, name: str, point: str) -> tuple[float, Mapping[str, object]]:
        """Test a failover and clean it up; return the seconds of its job by the vault, and the test as it was shown."""
        test = ("replikera", "test-failover")
        job = await self._line.commands.answer(
            *(*test, "start", name, "--point", point, "--wait"), timeout=LONG_COMMAND_TIMEOUT_S
        )
        shown = await self._line.commands.ask(*test, "show", name)
        await self._line.commands.run(*test, "cleanup", name, "--wait")
        return (_time(job, "finished_at") - _time(job, "created_at")).total_seconds(), shown

    async def protections(self) -> list[Mapping[str, object]]:
        """Return all protections as the vault shows them."""
        return items(await self._line.commands.ask("replikera", "protection", "list"))

    async def points(self, name: str) -> list[Point]:
        """Return a machine's recovery points, newest first."""
        return items(await self._line.commands.ask("replikera", "point", "list", name))

    def process_ids(self) -> tuple[int, int]:
        """Return the processes of the agents, source and target."""
        folder = self._line.folder
        source, target = (
            self._line.daemons.process_id(agent_name(site))
            for site in (folder.primary, folder.secondary)
        )
        return source, target

    async def _enable(self) -> None:
        target = ("--target-host", host_name(self._line.folder.secondary), "--policy", POLICY)
        for name in self.names:
            await self._replikera("protection", "enable", name, *target)

    async def _cost(
        self, cause: Awaitable[None], before: Mapping[str, int], *, from_now: bool = False
    ) -> Cost:
        ids = self.process_ids()
        for process_id in ids:
            reset_peak(process_id)
        begun = [process_state(process_id) for process_id in ids]
        carried, now = wire_bytes(), self._machine.clock.now()
        await cause
        points = [await self._next_point(name, before.get(name, 0)) for name in self.names]
        first = now if from_now else min(_time(point, "capture_started_at") for point in points)
        wall = (max(_time(point, "sealed_at") for point in points) - first).total_seconds()
        ended = [process_state(process_id) for process_id in ids]
        source_cpu, target_cpu = (
            after.cpu_s - start.cpu_s for start, after in zip(begun, ended, strict=True)
        )
        source_peak, target_peak = (state.peak_bytes for state in ended)
        carried = wire_bytes() - carried
        return Cost(wall, source_cpu, target_cpu, source_peak, target_peak, carried)

    async def _newest(self) -> dict[str, int]:
        return {name: _sequence((await self.points(name))[0]) for name in self.names}

    async def _next_point(self, name: str, sequence: int, *, with_data: bool = True) -> Point:
        """Return the machine's first point after `sequence`, the first that carries data if asked."""
        end = time.monotonic() + _DEADLINE_S
        while time.monotonic() < end:
            # A burst is written under the machine's lock: one view, and so one point, has all of it.
            for point in reversed(await self.points(name)):
                carried = int(str(point["payload_bytes"]))
                if _sequence(point) > sequence and (carried or not with_data):
                    return point
            await self._machine.clock.sleep(0.2)
        raise TimeoutError(f"no recovery point of {name} carries the data")

    async def _wait_for_machines(self) -> None:
        end = time.monotonic() + _DEADLINE_S
        while time.monotonic() < end:
            known = items(await self._line.commands.ask("replikera", "vm", "list"))
            if {machine.get("name") for machine in known} >= set(self.names):
                return
            await self._machine.clock.sleep(0.5)
        raise TimeoutError("the vault does not know all machines")

    def _write(self, share: int, changes: Sequence[tuple[int, bytes]]) -> None:
        machine = self._machine
        host = HostFolder(machine.files, machine.randomness, self.primary_root)
        for number, name in enumerate(self.names):
            live = LiveDisks(host.get_by_name(name))
            low, high = number * share, (number + 1) * share
            try:
                live.write(
                    [
                        Write(0, offset - low, data[: high - offset])
                        for offset, data in changes
                        if low <= offset < high
                    ]
                )
            finally:
                live.close()

    async def _replikera(self, *arguments: str) -> None:
        await self._line.commands.run("replikera", *arguments)

    async def _simulate(self, verb: str, *options: str) -> None:
        root = ("--root", str(self.primary_root))
        await self._line.commands.run("replikera-agent", "simulate", verb, *root, *options)


def share_of(size: int, count: int) -> int:
    """Return the part of a disk that each of `count` machines has: whole MiB."""
    return size // count // MIB * MIB


def _warm(path: Path) -> None:
    """Read a file once: the peers' source is in the page cache too."""
    with path.open("rb") as file:
        while file.read(MIB):
            pass


def _sequence(point: Point) -> int:
    return int(str(point["sequence"]))


def _time(point: Point, key: str) -> datetime:
    return datetime.fromisoformat(str(point[key]))
