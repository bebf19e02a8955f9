"""All protections whose source is this host: loaded at start, joined while running, each failing alone."""

import asyncio
from typing import NoReturn

import structlog

from agent.grants import GrantTerms
from agent.source.errors import AssignmentError, StateFileError
from agent.source.grants import HeldGrant
from agent.source.host import SourceHost
from agent.source.replicator import ProtectionReplicator, damaged_status
from agent.source.state import Assignment, SourceState, check_assignment
from agent.source.status import ReplicationStatus

MAX_PROTECTIONS = 256
"""Machines that one host replicates; Hyper-V runs 1,024 at most."""


log = structlog.get_logger(__name__)


class Replicators:
    """The replications of one host: opened once, then `run` runs them and `start` adds one."""

    def __init__(self, host: SourceHost) -> None:
        self._host = host
        # As they were at the start: what changes of them is the replicator's.
        self._states: dict[str, SourceState] = {}
        self._grants: dict[str, HeldGrant] = {}
        self._replicators: dict[str, ProtectionReplicator] = {}
        self._damaged: dict[str, ReplicationStatus] = {}
        self._joining: asyncio.Queue[str] = asyncio.Queue(MAX_PROTECTIONS)
        self._starting = asyncio.Lock()

    def statuses(self) -> tuple[ReplicationStatus, ...]:
        """Return how every protection stands now."""
        running = [replicator.status for replicator in self._replicators.values()]
        return (*running, *self._damaged.values())

    def held(self) -> tuple[tuple[Assignment, HeldGrant], ...]:
        """Return every protection whose source this host is, with its grant."""
        return tuple(
            (state.assignment, self._grants[protection_id])
            for protection_id, state in self._states.items()
        )

    async def open(self) -> None:
        """Read what earlier runs left; a protection whose file is damaged is shown as that."""
        await self._host.worker.run(self._host.folder.prepare)
        for protection_id in await self._host.worker.run(self._host.folder.protection_ids):
            await self._load(protection_id)

    async def start(self, assignment: Assignment, grant: bytes = b"") -> None:
        """Replicate from now on; durable when it returns, and nothing new the second time.

        Without a grant the target refuses until one comes. Raises `AssignmentError`, `StateFileError` and
        `GrantRefusedError`.
        """
        check_assignment(assignment)
        async with self._starting:
            known = await self._host.worker.run(self._prepare, assignment.protection_id)
            if known is not None:
                _check_same(known.assignment, assignment)
            await self._take_grant(assignment, grant)
            if known is not None:
                return
            state = SourceState(assignment)
            await self._host.worker.run(self._host.folder.save, state)
            self._states[assignment.protection_id] = state
            self._joining.put_nowait(assignment.protection_id)

    async def renew_grant(self, protection_id: str, signed: bytes) -> None:
        """Present this grant from now on; one that is not newer changes nothing. Raises `GrantRefusedError`."""
        async with self._starting:
            state = self._states.get(protection_id)
            if state is None:
                log.warning("grant of an unknown protection", protection=protection_id)
                return
            await self._take_grant(state.assignment, signed)

    async def run(self) -> NoReturn:
        """Run every protection until cancelled."""
        async with asyncio.TaskGroup() as group:
            for protection_id in tuple(self._states):
                self._launch(group, protection_id)
            while True:
                self._launch(group, await self._joining.get())

    async def _take_grant(self, assignment: Assignment, signed: bytes) -> None:
        held = self._grants.setdefault(assignment.protection_id, HeldGrant())
        if not signed:
            return
        grant = self._host.reader.read(signed, self._terms(assignment))
        if grant.version <= held.version:
            return
        await self._host.worker.run(self._host.grants.save, assignment.protection_id, signed)
        held.replace(signed)
        log.info("grant taken", protection=assignment.protection_id, version=grant.version)

    def _terms(self, assignment: Assignment) -> GrantTerms:
        return GrantTerms(
            protection_id=assignment.protection_id,
            epoch=assignment.epoch,
            generation=assignment.generation,
            source_host_id=self._host.reader.host_id,
            target_host_id=assignment.target_host_id,
        )

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

    async def _load(self, protection_id: str) -> None:
        try:
            state = await self._host.worker.run(self._host.folder.load, protection_id)
        except StateFileError as error:
            self._damaged[protection_id] = damaged_status(protection_id, error.failure)
            self._host.observer(self._damaged[protection_id])
            return
        if state is not None:
            grant = await self._host.worker.run(self._host.grants.load, protection_id)
            self._grants[protection_id] = HeldGrant(grant)
            self._states[protection_id] = state

    def _launch(self, group: asyncio.TaskGroup, protection_id: str) -> None:
        # One that was started before `run` is both known and in the queue.
        if protection_id in self._replicators:
            return
        replicator = ProtectionReplicator(
            self._host, self._states[protection_id], self._grants[protection_id]
        )
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
