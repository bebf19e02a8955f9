"""All protections whose source is this host: loaded at start, joined while running, each failing alone."""

import asyncio
from typing import NoReturn

from agent.source.errors import AssignmentError, StateFileError
from agent.source.replicator import ProtectionReplicator, SourceHost, damaged_status
from agent.source.state import Assignment, SourceState, check_assignment
from agent.source.status import ReplicationStatus

MAX_PROTECTIONS = 256
"""Machines that one host replicates; Hyper-V runs 1,024 at most."""


class Replicators:
    """The replications of one host. `run` runs them; `start` adds one, before or meanwhile."""

    def __init__(self, host: SourceHost) -> None:
        self._host = host
        self._replicators: dict[str, ProtectionReplicator] = {}
        self._damaged: dict[str, ReplicationStatus] = {}
        self._joining: asyncio.Queue[SourceState] = asyncio.Queue(MAX_PROTECTIONS)
        self._starting = asyncio.Lock()

    def statuses(self) -> tuple[ReplicationStatus, ...]:
        """Return how every protection stands now."""
        running = [replicator.status for replicator in self._replicators.values()]
        return (*running, *self._damaged.values())

    async def start(self, assignment: Assignment) -> None:
        """Replicate from now on; durable when it returns, and nothing new the second time.

        Raises `AssignmentError` and `StateFileError`.
        """
        check_assignment(assignment)
        async with self._starting:
            known = await self._host.worker.run(self._prepare, assignment.protection_id)
            if known is not None:
                _check_same(known.assignment, assignment)
                return
            state = SourceState(assignment)
            await self._host.worker.run(self._host.folder.save, state)
            self._joining.put_nowait(state)

    async def run(self) -> NoReturn:
        """Run every protection until cancelled."""
        await self._host.worker.run(self._host.folder.prepare)
        async with asyncio.TaskGroup() as group:
            for protection_id in await self._host.worker.run(self._host.folder.protection_ids):
                await self._load(group, protection_id)
            while True:
                self._launch(group, await self._joining.get())

    def _prepare(self, protection_id: str) -> SourceState | None:
        folder = self._host.folder
        folder.prepare()
        known = folder.load(protection_id)
        if known is None and len(folder.protection_ids()) >= MAX_PROTECTIONS:
            raise AssignmentError(
                "too-many-protections",
                f"This host replicates {MAX_PROTECTIONS} machines already.",
                "Protect the machine on another host.",
            )
        return known

    async def _load(self, group: asyncio.TaskGroup, protection_id: str) -> None:
        try:
            state = await self._host.worker.run(self._host.folder.load, protection_id)
        except StateFileError as error:
            self._damaged[protection_id] = damaged_status(protection_id, error.failure)
            self._host.observer(self._damaged[protection_id])
            return
        if state is not None:
            self._launch(group, state)

    def _launch(self, group: asyncio.TaskGroup, state: SourceState) -> None:
        protection_id = state.assignment.protection_id
        # One that was started before `run` is both on disk and in the queue.
        if protection_id in self._replicators:
            return
        replicator = ProtectionReplicator(self._host, state)
        self._replicators[protection_id] = replicator
        self._host.observer(replicator.status)
        group.create_task(replicator.run())


def _check_same(known: Assignment, ordered: Assignment) -> None:
    if known != ordered:
        raise AssignmentError(
            "already-replicating",
            f"Protection {known.protection_id} replicates machine {known.machine_id} to host "
            f"{known.target_host_id} already, by another order.",
            "This version cannot change where or how often a protection replicates.",
        )
