"""What is known to be wrong with the base: granules that do not hold what was written."""

from collections.abc import Sequence

from agent.replica.errors import BaseDamagedError, ReplicaError, base_damaged
from agent.replica.sidecar import GRANULE_BYTES, Granules
from replikera.blocks.segment import DiskGeometry

MAX_NOTED = 4096
"""Granules that are remembered one by one; more make no other message."""


class Damage:
    """Remembers damaged granules until they are written anew; nothing durable: they are found again."""

    def __init__(self) -> None:
        self._granules: set[tuple[int, int]] = set()

    def note(self, disk: int, granules: Granules) -> None:
        """Take note of damaged granules."""
        for granule in granules.tolist():
            if len(self._granules) < MAX_NOTED:
                self._granules.add((disk, granule))

    def forget(self, disk: int, granules: Granules) -> None:
        """Take note of granules that are right, or will be."""
        if self._granules:
            right = {(disk, granule) for granule in granules.tolist()}
            self._granules -= right

    def error(self, disks: Sequence[DiskGeometry]) -> ReplicaError | None:
        """Return what is to be told of it, None where nothing is known."""
        if not self._granules:
            return None
        disk, granule = min(self._granules)
        return base_damaged(BaseDamagedError(disk, disks[disk].name, granule * GRANULE_BYTES))
