"""Two sites in one test: a simulated host whose guest writes before every view, and a replica store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from typing_extensions import override

from agent.budget import ByteBudget
from agent.hypervisor.interface import Consistency, View
from agent.hypervisor.simulated.driver import SimulatedHypervisor
from agent.hypervisor.simulated.live_disks import Write
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.replica.accepted import AcceptedReplica
from agent.replica.receiver import Receiver
from agent.replica.store import ReplicaStore
from agent.source.assignment import Assignment
from agent.source.grants import GrantFolder
from agent.source.host import READ_AHEAD_BYTES, SourceHost
from agent.source.replicators import Replicators
from agent.source.state import SourceState
from agent.source.state_folder import StateFolder
from agent.source.status import ReplicationStatus
from replikera.blocks.extents import Extents
from replikera.denials import Denials
from replikera.identity import CredentialsHolder
from replikera.ports.clock import Clock
from replikera.ports.streams import Dialler
from replikera.ports.workers import Worker
from replikera.system.files import SystemFiles
from replikera.system.processes import SystemProcesses
from replikera.system.randomness import SystemRandomness
from replikera.vhdx import open_image
from tests.support.event_clock import EventClock
from tests.support.grants import NOBODY, GrantOffice, terms
from tests.support.memory_stream import Faults, Link, MemoryDialler
from tests.support.seeded_randomness import SeededRandomness
from tests.support.simulated_host import MIB, Bed, make_bed, make_disk, write_live
from tests.support.storage_folders import folders_in
from tests.support.virtual_clock import InlineWorker

PROTECTION = "33333333-1111-4111-8111-111111111111"
GENERATION = "33333333-2222-4222-8222-222222222222"
SOURCE = "aaaaaaaa-0000-4000-8000-000000000001"
TARGET = "aaaaaaaa-0000-4000-8000-000000000002"


def office() -> GrantOffice:
    """Return a vault that signs grants for the two."""
    return GrantOffice(
        terms(PROTECTION, GENERATION, SOURCE, TARGET, valid_for=timedelta(days=3650))
    )


MakeDialler = Callable[[asyncio.TaskGroup], Dialler]


class WritingHypervisor(SimulatedHypervisor):
    """Its guest writes before every freeze. `history` has the disks of every view by the instant it was taken."""

    before_freeze: Callable[[], None]
    history: dict[datetime, dict[str, bytes]]

    @override
    async def freeze(
        self, machine_id: str, tag: str, consistency: Consistency = Consistency.CRASH
    ) -> View:
        self.before_freeze()
        view = await super().freeze(machine_id, tag, consistency)
        content: dict[str, bytes] = {}
        for disk in view.description.disks:
            reader = await self.open_disk(view, disk.disk_id)
            content[disk.disk_id] = reader.read(reader.size, 0)
            reader.close()
        self.history[view.taken_at] = content
        return view


def _see_nothing(written: Mapping[int, Extents], sizes: Sequence[int]) -> None:
    """Track nothing."""


class PrimarySite:
    """The source: survives nothing but its files, so a new one in the same folder is a restarted agent."""

    def __init__(
        self, folder: Path, clock: Clock, worker: Worker, office: GrantOffice, seed: int = 1
    ) -> None:
        self._random = Random(seed)
        self._clock = clock
        self._worker = worker
        self._reader = office.reader(SOURCE, clock)
        self.grant = office.grant()
        self.holder = CredentialsHolder(NOBODY)
        self.denials = Denials()
        self.advance: Callable[[], None] = lambda: None
        self.target_address = "target:1"
        self.frequency = timedelta(seconds=30)
        self.loses_tracking = False
        self.bed: Bed = make_bed(folder)
        disks = [
            make_disk(
                folder / "system.vhdx",
                {0: b"boot" * 128, MIB + 4096: self._bytes(70_000)},
                size=3 * MIB,
            ),
            make_disk(folder / "data.vhdx", {MIB: self._bytes(4096)}, size=2 * MIB),
        ]
        self.machine = self.bed.machine("web", disks=disks)
        self.states = StateFolder(SystemFiles(), folder / "protections")
        self.grants = GrantFolder(SystemFiles(), folder / "protections")
        self.history: dict[datetime, dict[str, bytes]] = {}
        self.statuses: list[ReplicationStatus] = []
        self.changed = asyncio.Event()

    @property
    def assignment(self) -> Assignment:
        machine_id = self.machine.read().description.machine_id
        return Assignment(
            PROTECTION, 1, GENERATION, machine_id, TARGET, self.target_address, self.frequency
        )

    @property
    def state(self) -> SourceState:
        state = self.states.load(PROTECTION)
        assert state is not None
        return state

    def hypervisor(self) -> WritingHypervisor:
        hypervisor = WritingHypervisor(
            SystemFiles(),
            self._worker,
            self._clock,
            SystemRandomness(),
            SystemProcesses(),
            self.bed.host.root,
        )
        hypervisor.before_freeze = self.write
        hypervisor.history = self.history
        return hypervisor

    def write(self) -> None:
        """Write what a guest writes between two views: data, zeros over data, on both disks."""
        self.advance()
        if self.loses_tracking:
            self.loses_tracking = False
            for path in (self.machine.path / "marks").iterdir():
                path.unlink()
        position = self._random.randrange(0, 2) * MIB
        write_live(
            self.machine,
            Write(0, position, self._bytes(9000 // 512 * 512)),
            Write(
                0, MIB + 16384, bytes(4096) if self._random.random() < 0.5 else self._bytes(4096)
            ),
            Write(1, self._random.randrange(0, 2 * MIB, 512), self._bytes(512)),
        )

    def write_untracked(self) -> None:
        """Let the guest write what the hypervisor does not notice, though nothing tells that it did not."""
        self.advance()
        blind = MachineFolder(SystemFiles(), SystemRandomness(), self.machine.path)
        blind.tracking.append = lambda written, sizes: None  # type: ignore[method-assign]  # sees nothing
        write_live(blind, Write(0, 2 * MIB + 4096, b"un-track" * 512))

    def lose_tracking(self) -> None:
        """Let the hypervisor forget what has changed since the mark, in the moment in which it is asked next."""
        self.loses_tracking = True

    def _bytes(self, count: int) -> bytes:
        return self._random.randbytes(count // 512 * 512)

    def _observe(self, status: ReplicationStatus) -> None:
        self.statuses.append(status)
        self.changed.set()

    @asynccontextmanager
    async def running(
        self, make_dialler: MakeDialler, *, is_ordered: bool = True
    ) -> AsyncIterator[Replicators]:
        """Run an agent's replications; the end of the block is a crash between two awaits.

        The order to start is given again unless it is not `is_ordered`.
        """
        async with asyncio.TaskGroup() as group:
            host = SourceHost(
                hypervisor=self.hypervisor(),
                dialler=make_dialler(group),
                worker=self._worker,
                clock=self._clock,
                randomness=SeededRandomness(1),
                budget=ByteBudget(READ_AHEAD_BYTES),
                folder=self.states,
                grants=self.grants,
                reader=self._reader,
                holder=self.holder,
                denials=self.denials,
                observer=self._observe,
            )
            replicators = Replicators(host)
            await replicators.open()
            running = group.create_task(replicators.run())
            try:
                if is_ordered:
                    await replicators.start(self.assignment, self.grant)
                yield replicators
            finally:
                running.cancel()

    def has_failed(self) -> bool:
        """Tell whether the newest status shows a failure."""
        return bool(self.statuses) and self.statuses[-1].failure is not None

    async def until(self, is_reached: Callable[[], bool], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not is_reached():
                self.changed.clear()
                await self.changed.wait()

    async def until_sequence(self, sequence: int) -> None:
        await self.until(lambda: self.state.head.sequence >= sequence)


class SecondarySite:
    """The target. `restart` opens the store anew from its files."""

    def __init__(self, folder: Path, clock: Clock, worker: Worker, office: GrantOffice) -> None:
        self._folder = folder
        self._folder.mkdir()
        self._reader = office.reader(TARGET, clock)
        self._clock = clock
        self._worker = worker
        self.restart()

    def restart(self) -> None:
        self.store = ReplicaStore(
            SystemFiles(),
            self._worker,
            self._clock,
            SystemRandomness(),
            folders_in(self._folder),
        )
        self.receiver = Receiver(self.store, self._reader, self._clock)

    async def accept(self) -> None:
        await self.store.open()
        await self.store.accept(
            AcceptedReplica(PROTECTION, 1, GENERATION, SOURCE, "machine", "web", timedelta(days=1))
        )

    async def recovered(self, sequence: int) -> Mapping[str, bytes]:
        """Return the disks of a point as a failover would get them."""
        folder = self._folder / f"recovered-{sequence}"
        folder.mkdir()
        replica = self.store.get(PROTECTION)
        disks = await replica.materialise(sequence, lambda disk: folder / disk.name)
        content: dict[str, bytes] = {}
        for geometry, path in disks:
            content[geometry.disk_id] = self.content(path)
            path.unlink()
        folder.rmdir()
        return content

    def content(self, path: Path) -> bytes:
        """Return all bytes of a standalone disk."""
        with open_image(SystemFiles().open_read(path)) as image:
            return image.read(image.size, 0)


class Sites:
    """Both, connected in memory; time moves by sleeping only."""

    def __init__(self, folder: Path) -> None:
        self.clock = EventClock()
        self.office = office()
        worker = InlineWorker()
        (folder / "a").mkdir(parents=True)
        self.primary = PrimarySite(folder / "a", self.clock, worker, self.office)
        # No two views at one instant: `history` goes by it.
        self.primary.advance = lambda: self.clock.advance(0.001)
        self.secondary = SecondarySite(folder / "b", self.clock, worker, self.office)
        self.links: list[Link] = []

    async def run_until_sequence(
        self, sequence: int, faults: Sequence[Faults] = (), source_host_id: str = SOURCE
    ) -> None:
        await self.run_until(
            lambda: self.primary.state.head.sequence >= sequence, faults, source_host_id
        )

    async def run_until(
        self,
        is_reached: Callable[[], bool],
        faults: Sequence[Faults] = (),
        source_host_id: str = SOURCE,
    ) -> None:
        async with self.primary.running(self.dialler(faults, source_host_id)):
            await self.primary.until(is_reached)

    def dialler(self, faults: Sequence[Faults] = (), source_host_id: str = SOURCE) -> MakeDialler:
        def make(group: asyncio.TaskGroup) -> Dialler:
            dialler = MemoryDialler(
                group,
                self.secondary.receiver.serve,
                source_host_id=source_host_id,
                faults=faults,
            )
            self.links = dialler.links
            return dialler

        return make

    async def assert_all_points_equal_their_views(self) -> int:
        """Compare every point with the view it came from; return how many there were."""
        points = self.secondary.store.get(PROTECTION).points()
        for point in points:
            recovered = await self.secondary.recovered(point.sequence)
            assert recovered == self.primary.history[point.capture_ended_at], point.sequence
        return len(points)
