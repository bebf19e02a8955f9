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

    `in_doubt`: an apply of so many points has begun, so the base may hold bytes of each of them. `must_roll_back`: it
    cannot be finished, because redo of it is lost. `floor`: points below it cannot be reached while it is not finished,
    because undo of it is lost; then `below` is empty, as it is before the first point.
    """

    position: Position
    below: tuple[PointRecord, ...] = ()
    above: tuple[PointRecord, ...] = ()
    in_doubt: int = 0
    must_roll_back: bool = False
    floor: int = 0

    @property
    def is_interrupted(self) -> bool:
        """Tell whether an apply has begun and is not finished."""
        return self.in_doubt > 0

    @property
    def records(self) -> tuple[PointRecord, ...]:
        """Return all points that can be given back, oldest first."""
        if not self.floor:
            return self.below + self.above
        return tuple(record for record in self.above if record.sequence >= self.floor)

    @property
    def highest_in_doubt(self) -> int:
        """Return the newest point that the base may hold bytes of."""
        return self.position.sequence + self.in_doubt

    @property
    def points(self) -> tuple[SealedPoint, ...]:
        """Return what an operator may choose from, oldest first."""
        return tuple(record.point for record in self.records)

    @property
    def first(self) -> int:
        """Return the sequence of the oldest point; without points, that of the next one."""
        oldest = self.below[:1] or self.above[:1]
        return max(self.floor, oldest[0].sequence) if oldest else self.head.sequence + 1

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
        for records in (self.below, self.above):
            index = sequence - records[0].sequence if records else -1
            if 0 <= index < len(records):
                return records[index] if sequence >= self.floor else None
        return None


def have_same_shape(first: Sequence[DiskGeometry], second: Sequence[DiskGeometry]) -> bool:
    """Tell whether two lists are the same disks with the same sizes; a file may have been renamed."""
    return [_shape(disk) for disk in first] == [_shape(disk) for disk in second]


def _shape(disk: DiskGeometry) -> tuple[str, int, int]:
    return disk.disk_id, disk.size, disk.logical_sector_size
