"""Accepts and removes replicas, and ties them to the reports about their points for as long as each exists."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.control.backlog import Backlog
from agent.control.order_fields import PointName, ReplicaTerms
from agent.control.orders import Progress
from agent.failover.outcome import RehearsalError
from agent.grants import GrantReader
from agent.replica.accepted import AcceptedReplica
from agent.replica.announcements import PointsChanged
from agent.replica.errors import ReplicaError
from agent.replica.exporting import ExportedDisk, ExportRequest, PointExporter
from agent.replica.permission import terms_of
from agent.replica.point_digests import DiskDigest
from agent.replica.replica import Replica
from agent.replica.store import ReplicaStore


class ReplicaReports:
    """The replicas of this host as the vault orders them, and the reports of their points."""

    def __init__(
        self,
        store: ReplicaStore,
        exporter: PointExporter,
        reader: GrantReader,
        backlog: Backlog,
        rehearsals_of: Callable[[str], Awaitable[tuple[str, ...]]],
    ) -> None:
        """`rehearsals_of` names the rehearsals that a protection's replica is in use by."""
        self._store = store
        self._exporter = exporter
        self._reader = reader
        self._backlog = backlog
        self._rehearsals_of = rehearsals_of
        self._watched: set[str] = set()

    def watch_all(self) -> None:
        """Report the points of every replica that there is."""
        for replica in self._store.all():
            self._watch(replica)

    async def accept(self, terms: ReplicaTerms) -> Path:
        """Accept a replica and report its points from now on; return its folder.

        The grant that its source will present is checked now, so that an older one is refused; without one every
        grant of the vault will do. Raises `ReplicaError` and `GrantRefusedError`.
        """
        accepted = terms.accepted
        version = self._version(accepted, terms.grant)
        folder = await self._store.accept(accepted, terms.storage_folder)
        replica = self._store.get(accepted.protection_id)
        await replica.note_grant(version)
        self._watch(replica)
        return folder

    async def remove(self, protection_id: str, keep_disks: bool) -> tuple[Path, ...]:
        """End a replica and return the disks that were kept; one that is gone is no error.

        Raises `RehearsalError` while a rehearsal uses it, and `ReplicaError`.
        """
        if rehearsals := await self._rehearsals_of(protection_id):
            raise _in_use(protection_id, rehearsals)
        kept = await self._store.remove(protection_id, keep_disks)
        self._watched.discard(protection_id)
        self._backlog.points.forget(protection_id)
        return kept

    async def digest(self, point: PointName, progress: Progress) -> tuple[DiskDigest, ...]:
        """Read a whole point and return what its disks hold. Raises `ReplicaError`."""
        return await self._replica_with(point).point_digests(
            point.sequence, lambda done, total: progress("read the point", done, total)
        )

    async def export(
        self, point: PointName, request: ExportRequest, progress: Progress
    ) -> ExportedDisk:
        """Write a disk of a point into the export folder and read it back. Raises `ReplicaError`."""
        return await self._exporter.export(self._replica_with(point), request, progress)

    def _replica_with(self, point: PointName) -> Replica:
        replica = self._store.get(point.protection_id)
        if replica.accepted.generation != point.generation:
            raise _unknown_point(point)
        return replica

    def _version(self, accepted: AcceptedReplica, grant: bytes) -> int:
        if not grant:
            return 0
        return self._reader.read(grant, terms_of(accepted, self._reader.host_id)).version

    def _watch(self, replica: Replica) -> None:
        protection_id = replica.accepted.protection_id
        if protection_id in self._watched:
            return
        self._watched.add(protection_id)
        points = self._backlog.points
        points.watch(protection_id, replica.accepted.generation, replica.points, replica.processed)

        def changed(change: PointsChanged) -> None:
            points.changed(protection_id, change)
            self._backlog.on_urgent()

        replica.subscribe(changed)
        self._backlog.on_urgent()


def _in_use(protection_id: str, rehearsals: tuple[str, ...]) -> RehearsalError:
    return RehearsalError(
        "test-failover-exists",
        f"The replica of protection {protection_id} is in use by test failover {', '.join(rehearsals)}.",
        "Clean the test failover up first, then try again.",
    )


def _unknown_point(point: PointName) -> ReplicaError:
    return ReplicaError(
        "unknown-point",
        f"Point {point.sequence} of generation {point.generation} is not, or no longer, on this host "
        f"(protection {point.protection_id}).",
        "Choose another point: `replikera point list` shows them.",
    )
