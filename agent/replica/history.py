"""Which points a replica can give back, and from what."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.replica.points import PointRecord, SealedPoint
from agent.replica.position import Position
from replikera.blocks.segment import NO_POINT, DiskGeometry


@dataclass(frozen=True, slots=True)
class Head:
    """The newest durable point; sequence 0 is "none yet". Attempts of the next below the floor were given up."""

    generation: str
    sequence: int
    chain_digest: bytes
    attempt_floor: int


@dataclass(frozen=True, slots=True)
class History:
    """`below` ends with the point that the base is and is reached by undo; `above` is reached by redo.

    `is_interrupted`: the undo of the first point above is sealed, so the base may be half of that point. Then a point
    below needs that undo too. `below` is empty before the first point, and where that undo is damaged.
    """

    position: Position
    below: tuple[PointRecord, ...] = ()
    above: tuple[PointRecord, ...] = ()
    is_interrupted: bool = False

    @property
    def records(self) -> tuple[PointRecord, ...]:
        """Return all points, oldest first."""
        return self.below + self.above

    @property
    def points(self) -> tuple[SealedPoint, ...]:
        """Return what an operator may choose from, oldest first."""
        return tuple(record.point for record in self.records)

    @property
    def newest(self) -> PointRecord | None:
        """Return the newest point."""
        newest = self.above[-1:] or self.below[-1:]
        return newest[0] if newest else None

    @property
    def head(self) -> Head:
        """Return what the source compares itself with."""
        newest = self.newest
        sequence = newest.sequence if newest else 0
        return Head(
            generation=self.position.generation,
            sequence=sequence,
            chain_digest=newest.point_id if newest else NO_POINT,
            attempt_floor=self.position.attempt_floor(sequence + 1),
        )

    def find(self, sequence: int) -> PointRecord | None:
        """Return a point by its sequence."""
        records = self.records
        index = sequence - records[0].sequence if records else -1
        return records[index] if 0 <= index < len(records) else None


def have_same_shape(first: Sequence[DiskGeometry], second: Sequence[DiskGeometry]) -> bool:
    """Tell whether two lists are the same disks with the same sizes; a file may have been renamed."""
    return [_shape(disk) for disk in first] == [_shape(disk) for disk in second]


def _shape(disk: DiskGeometry) -> tuple[str, int, int]:
    return disk.disk_id, disk.size, disk.logical_sector_size
