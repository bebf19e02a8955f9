"""Where the workload's records lie on a disk.

The region is in the upper part of the disk: the superblock, a ring of records, one more data slot than records, and
the superblock again. The spare slot is what the step in progress writes to, so that every record in the ring vouches
for data that is there.
"""

from dataclasses import dataclass

BLOCK = 4096
SLOT_BYTES = 64 << 10
SMALLEST_DISK = 4 << 20
LARGEST_REGION = 64 << 20


class DiskTooSmallError(ValueError):
    """There is no room for records on the disk."""


@dataclass(frozen=True, slots=True)
class Region:
    """The workload's part of one disk; `ring_size` is the number of records it has room for."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """Return the offset behind the region."""
        return self.offset + self.length

    @property
    def ring_size(self) -> int:
        """Return how many records fit."""
        return (self.length - 2 * BLOCK - SLOT_BYTES) // (BLOCK + SLOT_BYTES)

    @property
    def superblocks(self) -> tuple[int, int]:
        """Return the offsets of both copies of the superblock."""
        return self.offset, self.end - BLOCK

    def record(self, index: int, ring_size: int) -> int:
        """Return the offset of the record with this index, counted from the disk's first one."""
        return self.offset + BLOCK * (1 + index % ring_size)

    def slot(self, index: int, ring_size: int) -> int:
        """Return the offset of the data that this record vouches for."""
        first = self.offset + BLOCK * (1 + ring_size)
        return first + SLOT_BYTES * (index % (ring_size + 1))


def region_of(disk_size: int) -> Region:
    """Return the region of a disk; the same for every disk of that size. Raises `DiskTooSmallError`."""
    if disk_size < SMALLEST_DISK:
        raise DiskTooSmallError(
            f"A disk of {disk_size} bytes has no room for a workload. Use disks of 4 MiB or more."
        )
    length = min(LARGEST_REGION, disk_size // 2) // BLOCK * BLOCK
    return Region((disk_size - length) // BLOCK * BLOCK, length)
