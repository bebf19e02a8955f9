"""The parts of one protection's source without the replicator, in conversation with a target in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from agent.source.answers import Opened
from agent.source.conversation import Conversation
from agent.source.errors import weightiest
from agent.source.host import SourceHost, ViewLimits
from agent.source.lane import Lane
from agent.source.protection import Protection
from agent.source.record import ProtectionRecord
from agent.source.state import SourceState
from agent.source.views import MachineViews
from agent.source.warnings import Warnings
from agent.source.window import WINDOW_BYTES
from replikera.ports.workers import Worker
from tests.support.fake_hypervisor import FakeHypervisor, describe
from tests.support.fake_target import FakeTarget
from tests.support.memory_stream import Faults, Link, MemoryDialler, stream_pair
from tests.support.source_hosts import source_host
from tests.support.source_rig import ASSIGNMENT, GENERATION, PROTECTION, SIZES
from tests.support.virtual_clock import InlineWorker, VirtualClock


class SourceParts:
    """`host`, `record`, `views`, `lane` and `protection` are real; `restart` makes them anew from the file."""

    def __init__(self, folder: Path, sizes: dict[str, int] | None = None) -> None:
        self.clock = VirtualClock()
        self.hypervisor = FakeHypervisor(self.clock, describe(sizes or SIZES))
        self.target = FakeTarget()
        self.limits = ViewLimits()
        self.worker: Worker = InlineWorker()
        self.assignment = ASSIGNMENT
        self.moved = 0
        self.link: Link | None = None
        self._folder = folder / "protections"
        self.restart()

    @property
    def state(self) -> SourceState:
        return self.record.state

    def restart(self) -> None:
        self.host = self._host()
        self.host.folder.prepare()
        stored = self.host.folder.load(PROTECTION)
        if stored is None:
            stored = SourceState(self.assignment)
            self.host.folder.save(stored)
        self.record = ProtectionRecord(self.host.folder, self.host.worker, stored)
        self.views = MachineViews(self.host, self.record)
        self.lane = Lane(self.host, self.record, self._move)
        self.warnings = Warnings()
        self.protection = Protection(
            self.host, self.record, self.views, self.lane, self.warnings, self._move
        )

    async def settings(self, **changes: object) -> None:
        assignment = replace(self.state.assignment, **changes)  # type: ignore[arg-type]  # by name
        await self.record.update(lambda state: state.ordered(assignment))

    @asynccontextmanager
    async def conversing(
        self, faults: Faults | None = None
    ) -> AsyncIterator[tuple[Conversation, Opened]]:
        """Yield an open conversation with its pump running; raise what explains its end."""
        near, far, self.link = stream_pair(faults=faults)
        conversation = Conversation(near, lambda: WINDOW_BYTES)
        try:
            async with asyncio.TaskGroup() as group:
                pump = group.create_task(conversation.pump())
                serving = group.create_task(self.target.serve(far))
                opened = await conversation.open(PROTECTION, 1, GENERATION)
                yield conversation, opened
                pump.cancel()
                serving.cancel()
        except ExceptionGroup as failed:
            raise weightiest(failed) from failed
        finally:
            await self.link.close()

    def _host(self) -> SourceHost:
        # Nobody dials: the conversations are made here.
        dialler = MemoryDialler(None, self.target.serve)  # type: ignore[arg-type]
        return source_host(
            self._folder,
            self.hypervisor,
            dialler,
            self.clock,
            lambda _status: None,
            view_limits=self.limits,
            worker=self.worker,
        )

    def _move(self) -> None:
        self.moved += 1
