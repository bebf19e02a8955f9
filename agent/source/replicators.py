"""All protections whose source is this host: loaded at start, joined and left while running, each failing alone."""

import asyncio
from typing import NoReturn

import structlog

from agent.grants import GrantTerms
from agent.source.assignment import Assignment, check_assignment, check_identifier
from agent.source.capture import check_disks
from agent.source.errors import AssignmentError, StateFileError
from agent.source.grants import HeldGrant
from agent.source.host import SourceHost
from agent.source.record import ProtectionRecord
from agent.source.replicator import ProtectionReplicator, damaged_status
from agent.source.state import NamedPoint, NameRequest, SourceState
from agent.source.status import ReplicationStatus
from agent.source.views import remove_all
from agent.source.waiting import first_of

NAMING_SECONDS = 600.0
"""How long a wish for a name waits for its point: what is sent before may take long."""

MAX_PROTECTIONS = 256
"""Machines that one host replicates; Hyper-V runs 1,024 at most."""


log = structlog.get_logger(__name__)


class Replicators:
    """The replications of one host: opened once, then `run` runs them; the other calls are the vault's orders."""

    def __init__(self, host: SourceHost) -> None:
        self._host = host
        self._grants: dict[str, HeldGrant] = {}
        self._replicators: dict[str, ProtectionReplicator] = {}
        self._tasks: dict[str, asyncio.Task[NoReturn]] = {}
        self._damaged: dict[str, ReplicationStatus] = {}
        self._group: asyncio.TaskGroup | None = None
        # Orders one after the other: none sees another's half-done work.
        self._turn = asyncio.Lock()

    def statuses(self) -> tuple[ReplicationStatus, ...]:
        """Return how every protection stands now."""
        running = [
            replicator.status
            for replicator in self._replicators.values()
            if not replicator.record.state.is_stopping
        ]
        return (*running, *self._damaged.values())

    def held(self) -> tuple[tuple[Assignment, HeldGrant], ...]:
        """Return every protection whose source this host is, with its grant."""
        return tuple(
            (replicator.record.state.assignment, self._grants[protection_id])
            for protection_id, replicator in self._replicators.items()
        )

    async def open(self) -> None:
        """Read what earlier runs left; a protection whose file is damaged is shown as that."""
        await self._host.worker.run(self._host.folder.prepare)
        for protection_id in await self._host.worker.run(self._host.folder.protection_ids):
            await self._load(protection_id)

    async def start(self, assignment: Assignment, grant: bytes = b"") -> None:
        """Replicate from now on, in this way; durable when it returns, and nothing new the second time.

        For a protection that is replicated already, settings may be others: they count from now on. Without a grant
        the target refuses until one comes. Raises `AssignmentError`, `StateFileError` and `GrantRefusedError`.
        """
        check_assignment(assignment)
        async with self._turn:
            known = self._replicators.get(assignment.protection_id)
            if known is not None:
                _check_same(known.record.state, assignment)
                await self._take_grant(assignment, grant)
                await known.record.update(lambda state: state.ordered(assignment))
                return
            await self._host.worker.run(self._prepare, assignment.protection_id)
            await self._take_grant(assignment, grant)
            state = SourceState(assignment)
            await self._host.worker.run(self._host.folder.save, state)
            self._add(state)

    async def stop(self, protection_id: str) -> None:
        """Stop replicating and forget: views, mark and files are gone when it returns; what is gone is no error.

        Raises `AssignmentError`, `HypervisorError` and `OSError`: then nothing is replicated, and it can be repeated.
        """
        check_identifier(protection_id, "to stop replicating")
        async with self._turn:
            replicator = self._replicators.get(protection_id)
            if replicator is not None:
                await replicator.record.update(lambda state: state.stopping())
                await self._end(protection_id)
            await remove_all(self._host.hypervisor, protection_id)
            await self._host.worker.run(self._host.grants.remove, protection_id)
            # The last: as long as it is there, the rest is repeated.
            await self._host.worker.run(self._host.folder.remove, protection_id)
            self._replicators.pop(protection_id, None)
            self._grants.pop(protection_id, None)
            self._damaged.pop(protection_id, None)
        log.info("replication stopped", protection=protection_id)

    async def resync(self, protection_id: str) -> None:
        """Compare everything with the target's newest point, and send what differs; begun, durably, when it returns.

        One that runs goes on. Raises `AssignmentError`, `HypervisorError` and `StateFileError`.
        """
        async with self._turn:
            record = self._record(protection_id)
            state = record.state
            machine = await self._host.hypervisor.describe(state.assignment.machine_id)
            check_disks(machine.description, state.assignment, state.head.disks)
            await record.update(lambda state: state.resynchronizing())

    async def verify(self, protection_id: str, verification_id: str) -> None:
        """Compare every range with the target once; begun, durably, when it returns. The same id again: nothing.

        An empty id: compare no more.

        Raises `AssignmentError` and `StateFileError`.
        """
        if verification_id:
            check_identifier(verification_id, "to verify")
        async with self._turn:
            await self._record(protection_id).update(lambda state: state.verifying(verification_id))

    async def name_point(self, protection_id: str, request: NameRequest) -> NamedPoint:
        """Take a point now that has this name; return it when the target has sealed it.

        The same wish again waits for the same point. Raises `AssignmentError` and `StateFileError`: then nobody waits
        for the name any more, but what had left already may still get it.
        """
        async with self._turn:
            record = self._record(protection_id)
            _check_naming(record.state, request)
            await record.update(lambda state: state.wishing(request))
        await first_of(self._host.clock.sleep(NAMING_SECONDS), _until_named(record, request))
        return await self._end_naming(protection_id, record, request)

    async def renew_grant(self, protection_id: str, signed: bytes) -> None:
        """Present this grant from now on; one that is not newer changes nothing. Raises `GrantRefusedError`."""
        async with self._turn:
            replicator = self._replicators.get(protection_id)
            if replicator is None:
                log.warning("grant of an unknown protection", protection=protection_id)
                return
            await self._take_grant(replicator.record.state.assignment, signed)

    async def run(self) -> NoReturn:
        """Run every protection until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for protection_id in self._replicators:
                self._launch(protection_id)
            await asyncio.Event().wait()
        raise AssertionError("the group lasts until it is cancelled")

    async def _end_naming(
        self, protection_id: str, record: ProtectionRecord, request: NameRequest
    ) -> NamedPoint:
        async with self._turn:
            replicator = self._replicators.get(protection_id)
            state = record.state
            # A protection that was stopped meanwhile has no file any more, and gets none.
            if replicator is not None and replicator.record is record and not state.is_stopping:
                state = await record.update(lambda state: state.without_wish(request.request_id))
        if state.named is not None and state.named.request_id == request.request_id:
            return state.named
        why = (
            f"within {NAMING_SECONDS / 60:g} minutes"
            if state.may_send
            else "as it is not replicated now"
        )
        raise AssignmentError(
            "point-not-named",
            f"No recovery point could be given the name {request.name!r} {why}.",
            "Look at the protection's health. Where a point has the name all the same, replikera point list shows it.",
        )

    def _record(self, protection_id: str) -> ProtectionRecord:
        replicator = self._replicators.get(protection_id)
        if replicator is None:
            raise AssignmentError(
                "unknown-protection",
                f"This host does not replicate protection {protection_id[:64]!r}.",
                "Look at the protection's source host with: replikera protection show.",
            )
        _check_lasting(replicator.record.state)
        return replicator.record

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

    def _prepare(self, protection_id: str) -> None:
        folder = self._host.folder
        folder.prepare()
        # A damaged file is refused here, by name.
        folder.load(protection_id)
        if len(folder.protection_ids()) >= MAX_PROTECTIONS:
            raise AssignmentError(
                "too-many-protections",
                f"This host replicates {MAX_PROTECTIONS} machines already.",
                "Protect the machine on another host.",
            )

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
            self._add(state)

    def _add(self, state: SourceState) -> None:
        protection_id = state.assignment.protection_id
        self._replicators[protection_id] = ProtectionReplicator(
            self._host, state, self._grants[protection_id]
        )
        self._launch(protection_id)

    def _launch(self, protection_id: str) -> None:
        if self._group is None or protection_id in self._tasks:
            return
        replicator = self._replicators[protection_id]
        self._host.observer(replicator.status)
        self._tasks[protection_id] = self._group.create_task(replicator.run())

    async def _end(self, protection_id: str) -> None:
        task = self._tasks.pop(protection_id, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])


def _check_same(known: SourceState, ordered: Assignment) -> None:
    _check_lasting(known)
    if not known.assignment.is_same_replication(ordered):
        raise AssignmentError(
            "already-replicating",
            f"Protection {ordered.protection_id} replicates machine {known.assignment.machine_id} to host "
            f"{known.assignment.target_host_id} in epoch {known.assignment.epoch} already.",
            "Disable the protection before it is enabled in another way.",
        )


async def _until_named(record: ProtectionRecord, request: NameRequest) -> None:
    """Return when the wish is fulfilled, or cannot be as nothing is sent."""
    state = record.state
    while state.may_send and state.naming == request:
        await record.changed_from(state)
        state = record.state


def _check_naming(state: SourceState, request: NameRequest) -> None:
    if state.naming is not None and state.naming.request_id != request.request_id:
        raise AssignmentError(
            "naming-busy",
            f"The next recovery point will be {state.naming.name!r} already.",
            "Wait until that one is there, then try again.",
        )


def _check_lasting(state: SourceState) -> None:
    if state.is_stopping:
        raise AssignmentError(
            "stopping",
            f"Protection {state.assignment.protection_id} is being disabled on this host.",
            "Wait until that is done, then try again.",
        )
