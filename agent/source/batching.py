"""Cuts the extents of a captured machine into batches and reads them: pieces, zeros, checksums."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.hypervisor.interface import HypervisorError, ViewDisk
from replikera.blocks.extents import Extents
from replikera.blocks.segment import (
    MAX_RECORD_BYTES,
    RECORD_BYTES,
    DiskGeometry,
    data_record,
    zero_record,
)

BATCH_BYTES = 4 << 20
"""Read by one call of a worker: long enough that the hand-over costs nothing, short enough that five of them a
stream are little."""

MAX_BATCH_PIECES = 8192
"""Of 512 bytes each they fill a batch; a batch may have 65,536 records."""

MAX_PAYLOAD_BYTES = 1 << 20
"""A payload message: measured as the fastest size."""

_ZEROS = bytes(MAX_RECORD_BYTES)


@dataclass(frozen=True, slots=True)
class CapturedDisk:
    """One open disk of a view, its place in the segment, and what of it goes into the segment."""

    number: int
    geometry: DiskGeometry
    reader: ViewDisk
    extents: Extents


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of one disk that becomes one record."""

    disk: CapturedDisk
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed records and their payload, each payload one message. `scanned_bytes` includes zeros."""

    records: bytes
    payloads: tuple[bytes, ...]
    scanned_bytes: int

    @property
    def record_count(self) -> int:
        """Return the number of records."""
        return len(self.records) // RECORD_BYTES

    @property
    def payload_bytes(self) -> int:
        """Return the bytes of all payloads."""
        return sum(len(payload) for payload in self.payloads)


def plan_batches(disks: Iterable[CapturedDisk]) -> Iterator[tuple[Piece, ...]]:
    """Yield the pieces of every batch, by disk and offset, at most `BATCH_BYTES` each."""
    pieces: list[Piece] = []
    size = 0
    for piece in _pieces(disks):
        if size + piece.length > BATCH_BYTES or len(pieces) == MAX_BATCH_PIECES:
            yield tuple(pieces)
            pieces, size = [], 0
        pieces.append(piece)
        size += piece.length
    if pieces:
        yield tuple(pieces)


def _pieces(disks: Iterable[CapturedDisk]) -> Iterator[Piece]:
    for disk in disks:
        for offset, length in disk.extents.split(MAX_RECORD_BYTES):
            yield Piece(disk, offset, length)


def read_batch(pieces: tuple[Piece, ...], *, keep_zeros: bool) -> Batch:
    """Read the pieces. Zeros become records where `keep_zeros`, else nothing. Blocks; raises `HypervisorError`."""
    builder = _BatchBuilder(keep_zeros)
    for piece in pieces:
        builder.add(piece, _read(piece))
    return builder.finish(sum(piece.length for piece in pieces))


def _read(piece: Piece) -> bytes:
    data = piece.disk.reader.read(piece.length, piece.offset)
    if len(data) != piece.length:
        raise HypervisorError(
            "short-read",
            f"Disk {piece.disk.geometry.name} gave {len(data)} of {piece.length} bytes "
            f"at offset {piece.offset}.",
            "Check the disk's storage; replication tries again.",
        )
    return data


class _BatchBuilder:
    def __init__(self, keep_zeros: bool) -> None:
        self._keep_zeros = keep_zeros
        self._records: list[bytes] = []
        self._payloads: list[bytes] = []
        self._group: list[bytes] = []
        self._group_bytes = 0
        self._zeros: tuple[int, int, int] | None = None

    def add(self, piece: Piece, data: bytes) -> None:
        # memcmp against a constant: no copy, and over at the first byte that is not zero
        if _ZEROS.startswith(data):
            self._add_zeros(piece)
            return
        self._end_zeros()
        self._records.append(data_record(piece.disk.number, piece.offset, data))
        if self._group_bytes + len(data) > MAX_PAYLOAD_BYTES:
            self._end_group()
        self._group.append(data)
        self._group_bytes += len(data)

    def finish(self, scanned_bytes: int) -> Batch:
        self._end_zeros()
        self._end_group()
        return Batch(b"".join(self._records), tuple(self._payloads), scanned_bytes)

    def _add_zeros(self, piece: Piece) -> None:
        if not self._keep_zeros:
            return
        if self._zeros is not None:
            disk, offset, length = self._zeros
            if (disk, offset + length) == (piece.disk.number, piece.offset):
                self._zeros = (disk, offset, length + piece.length)
                return
        self._end_zeros()
        self._zeros = (piece.disk.number, piece.offset, piece.length)

    def _end_zeros(self) -> None:
        if self._zeros is not None:
            self._records.append(zero_record(*self._zeros))
            self._zeros = None

    def _end_group(self) -> None:
        if self._group:
            # One large piece goes out as it was read. Small ones are joined, the only copy on this path: a message
            # of its own costs more than the copy of a few KiB.
            whole = self._group[0] if len(self._group) == 1 else b"".join(self._group)
            self._payloads.append(whole)
            self._group, self._group_bytes = [], 0
