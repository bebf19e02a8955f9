"""All replicas of this host."""

import asyncio
from pathlib import Path
from weakref import WeakValueDictionary

import structlog

from agent.replica.accepted import AcceptedReplica
from agent.replica.errors import ReplicaError, storage_errors
from agent.replica.folders import StorageFolders
from agent.replica.images import VhdxImages
from agent.replica.layout import Layout
from agent.replica.lineage import Lineage, create_lineage, open_lineage
from agent.replica.removal import finish_removal, kept_disks, mark_removed
from agent.replica.replica import Replica
from replikera.durable import make_directory_durably
from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness
from replikera.ports.workers import Worker

CONCURRENT_APPLIES = 2
"""Each holds a window of at most 32 MiB: together the agent's budget of 64 MiB."""

SETTLE_INTERVAL_S = 5.0
"""How often points are released, and how soon a full volume is tried again."""

log = structlog.get_logger(__name__)


class ReplicaStore:
    """Finds the replicas of this host, accepts new ones, and keeps them moving."""

    def __init__(
        self,
        files: Files,
        workers: Worker,
        clock: Clock,
        randomness: Randomness,
        folders: StorageFolders,
    ) -> None:
        self._files = files
        self._worker = workers
        self._clock = clock
        self._folders = folders
        self._image_format = VhdxImages(randomness)
        self._apply_limit = asyncio.Semaphore(CONCURRENT_APPLIES)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._replicas: dict[str, Replica] = {}
        self._refused: dict[str, ReplicaError] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def open(self) -> None:
        """Recover every replica. One that is damaged is refused by name, the others work."""
        lineages, self._refused = await self._worker.run(self._open_all)
        for lineage in lineages:
            self._add(lineage)
        for protection_id, error in self._refused.items():
            log.error("replica refused", protection=protection_id, cause=error.cause)

    async def accept(self, accepted: AcceptedReplica, storage_folder: str = "") -> Path:
        """Keep a replica under these terms, durably; return its folder. The same again changes nothing.

        A new one is made in `storage_folder`, in the default folder without; one that exists stays where it is.
        Raises `ReplicaError` where the protection is kept for another source, epoch or generation.
        """
        _check_terms(accepted)
        async with self._turn_of(accepted.protection_id):
            if accepted.protection_id in self._refused:
                raise self._refused[accepted.protection_id]
            known = self._replicas.get(accepted.protection_id)
            if known is None:
                parent = self._folders.choose(storage_folder)
                known = self._add(await self._worker.run(self._create, accepted, parent))
            elif not known.accepted.is_same_lineage(accepted):
                raise _already_accepted(known.accepted)
            elif known.accepted != accepted:
                await known.change_terms(accepted)
            return known.folder

    async def remove(self, protection_id: str, keep_disks: bool) -> tuple[Path, ...]:
        """End a replica; return the disks that stay as plain files, those of its newest point where they are kept.

        The same again changes nothing and returns the same; so does one that was never here. Raises `ReplicaError`:
        while the replica is pinned, and where its disks are to be kept and cannot be.
        """
        async with self._turn_of(protection_id):
            if protection_id in self._replicas:
                await self._remove(self._replicas[protection_id], keep_disks)
            elif protection_id in self._refused and keep_disks:
                raise self._refused[protection_id]
            else:
                await self._worker.run(self._remove_rest, protection_id)
                self._refused.pop(protection_id, None)
            if not keep_disks:
                return ()
            return await self._worker.run(
                kept_disks, self._files, self._folders.exports, protection_id
            )

    def get(self, protection_id: str) -> Replica:
        """Return the replica of a protection. Raises `ReplicaError`."""
        if protection_id in self._refused:
            raise self._refused[protection_id]
        if protection_id not in self._replicas:
            raise ReplicaError(
                "unknown-protection",
                f"This host keeps no replica of protection {protection_id}.",
                "Enable the protection with this host as its target.",
            )
        return self._replicas[protection_id]

    def all(self) -> tuple[Replica, ...]:
        """Return all replicas that work."""
        return tuple(self._replicas.values())

    async def run(self) -> None:
        """Apply sealed segments of all replicas and release old points, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for replica in self._replicas.values():
                    self._start(replica)
                while True:
                    await self._clock.sleep(SETTLE_INTERVAL_S)
                    for replica in self._replicas.values():
                        replica.wake()
        finally:
            self._group = None
            self._tasks.clear()

    def _turn_of(self, protection_id: str) -> asyncio.Lock:
        """Return what orders about one protection take turns by: to keep a large disk may take hours."""
        return self._turns.setdefault(protection_id, asyncio.Lock())

    async def _remove(self, replica: Replica, keep_disks: bool) -> None:
        protection_id = replica.accepted.protection_id
        try:
            await replica.remove(self._folders.exports if keep_disks else None)
        finally:
            # Also where the removal was decided and could not be finished: the next start does that.
            if replica.is_removed:
                del self._replicas[protection_id]
                task = self._tasks.pop(protection_id, None)
                if task is not None:
                    task.cancel()

    def _remove_rest(self, protection_id: str) -> None:
        """Remove a replica that is refused, and what an earlier removal could not."""
        for folder in self._folders.found(self._files):
            layout = Layout(folder)
            if folder.name == protection_id:
                with storage_errors(folder):
                    if protection_id in self._refused:
                        mark_removed(self._files, layout, None)
                    finish_removal(self._files, layout)

    def _start(self, replica: Replica) -> None:
        if self._group is not None:
            task = self._group.create_task(replica.run())
            self._tasks[replica.accepted.protection_id] = task

    def _add(self, lineage: Lineage) -> Replica:
        replica = Replica(lineage, self._worker, self._clock, self._apply_limit)
        self._replicas[lineage.accepted.protection_id] = replica
        self._start(replica)
        return replica

    def _create(self, accepted: AcceptedReplica, parent: Path) -> Lineage:
        with storage_errors(parent):
            make_directory_durably(self._files, parent)
        folder = parent / accepted.protection_id
        return create_lineage(
            self._files, folder, accepted, self._image_format, self._folders.seeds
        )

    def _open_all(self) -> tuple[list[Lineage], dict[str, ReplicaError]]:
        lineages: dict[str, Lineage] = {}
        refused: dict[str, ReplicaError] = {}
        for folder in self._folders.found(self._files):
            try:
                with storage_errors(folder):
                    if finish_removal(self._files, Layout(folder)):
                        continue
                lineage = open_lineage(self._files, folder, self._image_format, self._folders.seeds)
            except ReplicaError as error:
                refused[folder.name] = error
                continue
            if lineage is None:
                continue
            if folder.name in lineages:
                refused[folder.name] = _twice(lineages[folder.name].layout.folder, folder)
            lineages[folder.name] = lineage
        return [one for name, one in lineages.items() if name not in refused], refused


def _twice(one: Path, other: Path) -> ReplicaError:
    return ReplicaError(
        "replica-twice",
        f"There are two replicas of protection {one.name}: {one} and {other}.",
        "Stop the agent, move the one away that is a copy, and start the agent again.",
    )


def _check_terms(accepted: AcceptedReplica) -> None:
    if problem := accepted.problem():
        raise ReplicaError(
            "malformed-order",
            f"The replica of {accepted.machine_name!r} cannot be accepted: {problem}.",
            "Update coordinator and agent to one version.",
        )


def _already_accepted(known: AcceptedReplica) -> ReplicaError:
    return ReplicaError(
        "already-accepted",
        f"This host keeps the replica of {known.machine_name} (protection {known.protection_id}) for source"
        f" host {known.source_host_id}, epoch {known.epoch}, generation {known.generation}.",
        "Disable that protection first, or enable this one with another target host.",
    )
