"""The chain digest: one number that two hosts share only when they share the whole history."""

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

    def finish(self, trailer: bytes) -> bytes:
        """Return the digest of the segment with this trailer; more records may still be added after."""
        state = self._state.copy()
        state.update(trailer)
        return state.digest()
