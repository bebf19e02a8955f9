"""All replicas of this host."""

import asyncio
from pathlib import Path

import structlog

from agent.replica.accepted import AcceptedReplica
from agent.replica.errors import ReplicaError, storage_errors
from agent.replica.images import VhdxImages
from agent.replica.lineage import Lineage, create_lineage, open_lineage
from agent.replica.replica import Replica
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
        self, files: Files, workers: Worker, clock: Clock, randomness: Randomness, folder: Path
    ) -> None:
        self._files = files
        self._worker = workers
        self._clock = clock
        self._folder = folder
        self._image_format = VhdxImages(randomness)
        self._apply_limit = asyncio.Semaphore(CONCURRENT_APPLIES)
        self._accepting = asyncio.Lock()
        self._replicas: dict[str, Replica] = {}
        self._refused: dict[str, ReplicaError] = {}
        self._group: asyncio.TaskGroup | None = None

    async def open(self) -> None:
        """Recover every replica. One that is damaged is refused by name, the others work."""
        lineages, self._refused = await self._worker.run(self._open_all)
        for lineage in lineages:
            self._add(lineage)
        for protection_id, error in self._refused.items():
            log.error("replica refused", protection=protection_id, cause=error.cause)

    async def accept(self, accepted: AcceptedReplica) -> None:
        """Keep a replica under these terms, durably; the same again changes nothing.

        Raises `ReplicaError` where the protection is kept for another source, epoch or generation.
        """
        _check_terms(accepted)
        async with self._accepting:
            if accepted.protection_id in self._refused:
                raise self._refused[accepted.protection_id]
            known = self._replicas.get(accepted.protection_id)
            if known is None:
                self._add(await self._worker.run(self._create, accepted))
            elif not known.accepted.is_same_lineage(accepted):
                raise _already_accepted(known.accepted)
            elif known.accepted != accepted:
                await known.change_terms(accepted)

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
                    group.create_task(replica.run())
                while True:
                    await self._clock.sleep(SETTLE_INTERVAL_S)
                    for replica in self._replicas.values():
                        replica.wake()
        finally:
            self._group = None

    def _add(self, lineage: Lineage) -> None:
        replica = Replica(lineage, self._worker, self._clock, self._apply_limit)
        self._replicas[lineage.accepted.protection_id] = replica
        if self._group is not None:
            self._group.create_task(replica.run())

    def _create(self, accepted: AcceptedReplica) -> Lineage:
        with storage_errors(self._folder):
            self._files.make_directory(self._folder)
            self._files.sync_directory(self._folder.parent)
        folder = self._folder / accepted.protection_id
        return create_lineage(self._files, folder, accepted, self._image_format)

    def _open_all(self) -> tuple[list[Lineage], dict[str, ReplicaError]]:
        lineages: list[Lineage] = []
        refused: dict[str, ReplicaError] = {}
        for name in self._files.list_directory(self._folder):
            try:
                lineage = open_lineage(self._files, self._folder / name, self._image_format)
            except ReplicaError as error:
                refused[name] = error
                continue
            if lineage is not None:
                lineages.append(lineage)
        return lineages, refused


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
