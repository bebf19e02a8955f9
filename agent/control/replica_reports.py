"""Accepts replicas and ties them to the reports about their points, from the first moment each exists."""

from agent.control.backlog import Backlog
from agent.grants import GrantReader
from agent.replica.accepted import AcceptedReplica
from agent.replica.permission import terms_of
from agent.replica.replica import PointsChanged, Replica
from agent.replica.store import ReplicaStore


class ReplicaReports:
    """Accepts replicas and reports the points of all of them."""

    def __init__(self, store: ReplicaStore, reader: GrantReader, backlog: Backlog) -> None:
        self._store = store
        self._reader = reader
        self._backlog = backlog
        self._watched: set[str] = set()

    def watch_all(self) -> None:
        """Report the points of every replica that there is."""
        for replica in self._store.all():
            self._watch(replica)

    async def accept(self, accepted: AcceptedReplica, grant: bytes) -> None:
        """Accept a replica and report its points from now on.

        The grant that its source will present is checked now, so that an older one is refused; without one every
        grant of the vault will do. Raises `ReplicaError` and `GrantRefusedError`.
        """
        version = self._version(accepted, grant)
        await self._store.accept(accepted)
        replica = self._store.get(accepted.protection_id)
        await replica.note_grant(version)
        self._watch(replica)

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
        points.watch(protection_id, replica.accepted.generation, replica.points)

        def changed(change: PointsChanged) -> None:
            points.changed(protection_id, change.points, change.released)
            self._backlog.on_urgent()

        replica.subscribe(changed)
        self._backlog.on_urgent()
