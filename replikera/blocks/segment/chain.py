"""The chain digest: one number that two hosts share only when they share the whole history.

A pass is digested chunk by chunk on the way to its point: two hosts share a chunk's digest only when they share the
pass up to it.
"""

import struct
from collections.abc import Sequence
from typing import Self

from blake3 import blake3

from replikera.blocks.segment.header import SegmentHeader


class ChainDigest:
    """BLAKE3 over the point before, the header with its disks, all records in order, and the trailer."""

    def __init__(self, header: SegmentHeader) -> None:
        self._state = blake3(header.previous)
        self._state.update(header.encode())

    def add_records(self, records: bytes | memoryview) -> None:
        """Take the next records, packed, in any grouping."""
        self._state.update(records)

    def copy(self) -> Self:
        """Return the digest as it is now, to go on from later."""
        other = object.__new__(type(self))
        other._state = self._state.copy()
        return other

    def finish(self, trailer: bytes) -> bytes:
        """Return the digest of the segment with this trailer; more records may still be added after."""
        state = self._state.copy()
        state.update(trailer)
        return state.digest()


class ChunkDigest:
    """BLAKE3 over the digest of the chunk before, the header with its disks, number, records and watermarks."""

    def __init__(self, header: SegmentHeader, number: int, previous: bytes) -> None:
        """`previous` is `NO_POINT` for chunk 1."""
        self._state = blake3(previous)
        self._state.update(header.encode())
        self._state.update(struct.pack("<Q", number))

    def add_records(self, records: bytes | memoryview) -> None:
        """Take the next records, packed, in any grouping."""
        self._state.update(records)

    def finish(self, watermarks: Sequence[int]) -> bytes:
        """Return the digest of the chunk that leads to these watermarks, one a disk."""
        state = self._state.copy()
        state.update(struct.pack(f"<{len(watermarks)}q", *watermarks))
        return state.digest()
