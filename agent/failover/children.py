"""The disks of a rehearsal: children of the base, which a pin keeps as it is until the last of them is gone."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from agent.failover.disks import DiskFolders, DiskNames
from agent.failover.outcome import RecoveredDisk, RehearsalError, RehearsalRequest
from agent.replica.accepted import AcceptedReplica
from agent.replica.errors import ReplicaError
from agent.replica.pins import PINS_DAMAGED, Pin
from agent.replica.points import SealedPoint
from replikera.blocks.segment import DiskGeometry


class RecoverableReplica(Protocol):
    """What a rehearsal asks of a replica."""

    @property
    def accepted(self) -> AcceptedReplica:
        """Return whose replica it is, and in which generation."""

    def points(self) -> tuple[SealedPoint, ...]:
        """Return the points that are retained and restorable, oldest first."""

    def describe(self, sequence: int) -> bytes:
        """Return the machine description of a point. Raises `ReplicaError`."""

    async def pin(self, holder: str, sequence: int) -> None:
        """Keep a point, and the base as it is, durably; the same again changes nothing. Raises `ReplicaError`."""

    async def make_children(
        self, holder: str, paths: Callable[[DiskGeometry], Path]
    ) -> tuple[tuple[DiskGeometry, Path], ...]:
        """Write the pinned point as children of the base, good while the pin stays. Raises `ReplicaError`."""

    def pins(self) -> tuple[Pin, ...]:
        """Return who keeps the base as it is."""

    async def unpin(self, holder: str) -> None:
        """Give up what a holder keeps, durably; nothing kept is no error. Raises `ReplicaError`."""


class ChildDisks:
    """Of all rehearsals of this host. Everything may be repeated after a crash at any moment."""

    def __init__(self, folders: DiskFolders, replica: Callable[[str], RecoverableReplica]) -> None:
        """`replica` returns that of a protection, and raises `ReplicaError`."""
        self._folders = folders
        self._replica = replica

    def replica_of(self, request: RehearsalRequest) -> RecoverableReplica:
        """Return the replica that holds the point. Raises `RehearsalError`, `ReplicaError`."""
        replica = self._replica(request.protection_id)
        is_known = any(point.sequence == request.sequence for point in replica.points())
        if replica.accepted.generation != request.generation or not is_known:
            raise RehearsalError(
                "unknown-point",
                f"Point {request.sequence} of generation {request.generation} is not, or no longer, "
                f"on this host (protection {request.protection_id}).",
                "Choose another point: `replikera point list` shows them.",
            )
        return replica

    async def make(
        self, request: RehearsalRequest, replica: RecoverableReplica
    ) -> tuple[RecoveredDisk, ...]:
        """Pin the point and return its disks, whole, in the rehearsal's folder. Raises `ReplicaError`."""
        await replica.pin(request.rehearsal_id, request.sequence)
        names = DiskNames(await self._folders.prepare(request.rehearsal_id))
        made = await replica.make_children(request.rehearsal_id, names.path)
        return tuple(RecoveredDisk(disk.disk_id, path, disk.size) for disk, path in made)

    async def release(self, rehearsal_id: str, protection_id: str) -> None:
        """Let the replica go on: nothing of the rehearsal is left. Raises `ReplicaError`.

        One that is gone keeps nothing. Of one that could not be opened it is released later: see `Rehearsals`.
        """
        try:
            replica = self._replica(protection_id)
        except ReplicaError:
            return
        try:
            await replica.unpin(rehearsal_id)
        except ReplicaError as error:
            # Which wants all test failovers cleaned up before anything else.
            if error.code != PINS_DAMAGED:
                raise
