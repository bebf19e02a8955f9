"""One source in a test: a real replicator over a hypervisor and a target in memory, restarted from its files."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from agent.source.assignment import Assignment
from agent.source.grants import HeldGrant
from agent.source.host import ViewLimits
from agent.source.replicator import ProtectionReplicator
from agent.source.state import SourceState
from agent.source.state_folder import StateFolder
from agent.source.status import ReplicationState, ReplicationStatus
from replikera.blocks.extents import Extents
from replikera.ports.workers import Worker
from replikera.system.files import SystemFiles
from replikera.wire.v1 import replication_pb2 as wire
from tests.support.fake_hypervisor import MACHINE_ID, FakeHypervisor, describe
from tests.support.fake_target import FakeTarget
from tests.support.memory_stream import Direction, Faults, MemoryDialler
from tests.support.source_hosts import source_host
from tests.support.virtual_clock import InlineWorker, VirtualClock

PROTECTION = "11111111-1111-4111-8111-111111111111"
GENERATION = "22222222-2222-4222-8222-222222222222"
SIZES = {"disk-a": 3 << 20, "disk-b": 1 << 20}
ASSIGNMENT = Assignment(
    PROTECTION, 1, GENERATION, MACHINE_ID, "target-host", "b:1", timedelta(seconds=30)
)


@dataclass(repr=False)  # a failing test would print megabytes of disks
class SourceRig:
    """Time moves by sleeping only. A new `running` is an agent that was killed between two awaits and started again."""

    folder: Path
    assignment: Assignment = ASSIGNMENT
    sizes: dict[str, int] = field(default_factory=lambda: dict(SIZES))
    clock: VirtualClock = field(default_factory=VirtualClock)
    target: FakeTarget = field(default_factory=FakeTarget)
    faults: list[Faults] = field(default_factory=list)
    statuses: list[ReplicationStatus] = field(default_factory=list)
    limits: ViewLimits = field(default_factory=ViewLimits)
    worker: Worker = field(default_factory=InlineWorker)
    dialler: MemoryDialler | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    running_task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.hypervisor = FakeHypervisor(self.clock, describe(self.sizes))
        self.target.on_change = self.changed.set
        self.states = StateFolder(SystemFiles(), self.folder)
        self.states.prepare()
        if self.states.load(PROTECTION) is None:
            self.states.save(SourceState(self.assignment))

    @property
    def state(self) -> SourceState:
        state = self.states.load(PROTECTION)
        assert state is not None
        return state

    def change(self, change: Callable[[SourceState], SourceState]) -> None:
        """Change the file while nothing runs."""
        self.states.save(change(self.state))

    def observe(self, status: ReplicationStatus) -> None:
        self.statuses.append(status)
        self.changed.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ProtectionReplicator]:
        async with asyncio.TaskGroup() as group:
            self.dialler = MemoryDialler(group, self.target.serve, faults=self.faults)
            self.faults = []
            host = source_host(
                self.folder,
                self.hypervisor,
                self.dialler,
                self.clock,
                self.observe,
                view_limits=self.limits,
                worker=self.worker,
            )
            replicator = ProtectionReplicator(host, self.state, HeldGrant())
            self.running_task = group.create_task(replicator.run())
            try:
                yield replicator
            finally:
                self.running_task.cancel()

    async def until(self, is_reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not is_reached():
                self.changed.clear()
                await self.changed.wait()

    async def run_until(self, is_reached: Callable[[], bool]) -> None:
        async with self.running():
            await self.until(is_reached)

    async def run_until_sequence(self, sequence: int) -> None:
        await self.run_until(lambda: self.state.head.sequence >= sequence)

    async def run_until_settled(self, sequence: int) -> None:
        """Run until a point is acknowledged and its view has become the mark, or a newer one's."""
        await self.run_until(
            lambda: self.state.head.sequence >= sequence and not self.state.unsettled_view_id
        )

    async def run_until_resync(self) -> str:
        """Return why, once the replicator has noticed."""
        await self.run_until(
            lambda: (
                bool(self.statuses) and self.statuses[-1].state is ReplicationState.RESYNC_REQUIRED
            )
        )
        resync = self.state.resync
        assert resync is not None
        return resync.code

    def codes(self) -> list[str]:
        """Return the codes of the failures that were shown, each once for every time it came."""
        shown: list[str] = []
        for before, after in zip([None, *self.statuses], self.statuses, strict=False):
            failure = after.failure
            if failure is not None and (before is None or before.failure != failure):
                shown.append(failure.code)
        return shown

    def assert_points_equal_views(self) -> None:
        for sequence, disks in self.target.points.items():
            taken_at = self.target.trailers[sequence - 1].capture_ended_at
            view = self.hypervisor.history[taken_at]
            assert disks == {name: view[name] for name in disks}, f"point {sequence}"

    def changed_bytes(self, sequence: int, sequence_after: int) -> int:
        """Return in how many bytes two points differ."""
        before, after = self.target.points[sequence], self.target.points[sequence_after]
        return sum(
            Extents.of((at, 1) for at in range(len(data)) if data[at] != before[name][at]).total()
            for name, data in after.items()
        )


def swallow_first(kind: str) -> Faults:
    """Return faults that swallow the target's first message of a kind and everything after it."""
    seen: list[str] = []

    def tamper(direction: Direction, message: bytes) -> list[bytes]:
        if direction is Direction.TO_SOURCE:
            seen.append(wire.ReplicateResponse.FromString(message).WhichOneof("message") or "")
        return [] if kind in seen else [message]

    return Faults(tamper=tamper)
