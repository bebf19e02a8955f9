"""What the parts that replicate one protection share."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.source.host import SourceHost
from agent.source.lane import Lane
from agent.source.record import ProtectionRecord
from agent.source.status import Failure
from agent.source.views import MachineViews
from agent.source.warnings import Warnings
from replikera.blocks.segment import DiskGeometry, SegmentHeader, SegmentKind


@dataclass(frozen=True, slots=True)
class Protection:
    """One protection at its source: its durable record, its views, the way of its data.

    `announce` is called when a transfer's size is known, before anything of it leaves.
    """

    host: SourceHost
    record: ProtectionRecord
    views: MachineViews
    lane: Lane
    warnings: Warnings
    announce: Callable[[], None]

    def warn(self, code: str, cause: str, remedy: str) -> None:
        """Show a warning."""
        self.warnings.put(Failure(code, cause, remedy))

    def header(
        self, sequence: int, attempt: int, previous: bytes, disks: tuple[DiskGeometry, ...]
    ) -> SegmentHeader:
        """Return the header of an attempt at a point."""
        assignment = self.record.state.assignment
        return SegmentHeader(
            protection_id=assignment.protection_id,
            epoch=assignment.epoch,
            generation=assignment.generation,
            sequence=sequence,
            attempt=attempt,
            previous=previous,
            kind=SegmentKind.INITIAL if sequence == 1 else SegmentKind.DELTA,
            disks=disks,
        )
