"""A full comparison that an operator asked for: how far it is, and what comes next."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import ConfigDict

from agent.source.assignment import Count, Uuid
from agent.source.status import VerificationStatus
from replikera.blocks.segment import DiskGeometry

LEAF_BYTES = 1 << 20
"""What one digest covers at most: the wire's limit."""

_CONFIG = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Verification:
    """`checked_bytes` counts through all disks in their order: it is the position as well.

    `total_bytes` is 0 until the first slice.
    """

    __pydantic_config__ = _CONFIG

    verification_id: Uuid
    checked_bytes: Count = 0
    total_bytes: Count = 0
    differing_bytes: Count = 0
    finished_at: datetime | None = None

    @property
    def status(self) -> VerificationStatus:
        """Return what is reported of it."""
        return VerificationStatus(
            self.verification_id,
            self.checked_bytes,
            self.total_bytes,
            self.differing_bytes,
            self.finished_at,
        )

    @property
    def is_running(self) -> bool:
        """Tell whether there is something left to compare."""
        return self.finished_at is None

    def leaves(self, disks: Sequence[DiskGeometry]) -> Iterator[tuple[int, int, int]]:
        """Yield (disk, offset, length) of what was not compared yet."""
        before = 0
        for number, disk in enumerate(disks):
            offset = max(0, self.checked_bytes - before)
            while offset < disk.size:
                length = min(LEAF_BYTES - offset % LEAF_BYTES, disk.size - offset)
                yield number, offset, length
                offset += length
            before += disk.size

    def checked(
        self, disks: Sequence[DiskGeometry], count: int, differing: int, now: datetime
    ) -> "Verification":
        """Return it after the next `count` bytes, of which `differing` are in ranges that differ.

        It ends at the first difference too: a resync has to follow.
        """
        total = sum(disk.size for disk in disks)
        checked = self.checked_bytes + count
        is_over = checked >= total or differing > 0
        return replace(
            self,
            checked_bytes=checked,
            total_bytes=total,
            differing_bytes=self.differing_bytes + differing,
            finished_at=now if is_over else None,
        )
