"""Cuts ranges of a captured machine into batches and reads them: pieces, zeros, compression, checksums."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge

from agent.hypervisor.interface import HypervisorError, ViewDisk
from agent.source.zeros import data_runs
from replikera.blocks.extents import Extents
from replikera.blocks.segment import (
    MAX_RECORD_BYTES,
    RECORD_BYTES,
    Codec,
    DiskGeometry,
    compress,
    data_record,
    zero_record,
)

BATCH_BYTES = 4 << 20
"""Read by one call of a worker: long enough that the hand-over costs nothing, short enough that five of them a
stream are little."""

SMALL_BATCH_BYTES = 2 << 20
"""Where many streams share the memory of their agents."""

READ_AHEAD_BATCHES = 4
"""16 MiB a stream: enough to bridge a slow read or a slow write, little beside the window."""

MAX_BATCH_PIECES = 8192
"""Of 512 bytes each they fill a batch; a batch may have 65,536 records."""

MAX_PAYLOAD_BYTES = 1 << 20
"""A payload message: measured as the fastest size."""

_ZEROS = bytes(MAX_RECORD_BYTES)


@dataclass(frozen=True, slots=True)
class CapturedDisk:
    """One open disk of a view and its place in the segment. What is outside `allocated` is zeros."""

    number: int
    geometry: DiskGeometry
    reader: ViewDisk
    allocated: Extents


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """How far a sweep over all disks has come: the disks before `disk` are done, and that one below `offset`."""

    disk: int
    offset: int


START = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of one disk that becomes one record, or a few. Where it `is_zero` nothing has to be read."""

    disk: CapturedDisk
    offset: int
    length: int
    is_zero: bool

    @property
    def read_bytes(self) -> int:
        """Return the bytes that are read for it."""
        return 0 if self.is_zero else self.length


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed records and their payload, each payload one message.

    `scanned_bytes` were read, zeros among them; `data_bytes` are those of data before compression. `end` is how far the
    sweep is with it.
    """

    records: bytes
    payloads: tuple[bytes, ...]
    scanned_bytes: int
    data_bytes: int
    end: Position

    @property
    def record_count(self) -> int:
        """Return the number of records."""
        return len(self.records) // RECORD_BYTES

    @property
    def payload_bytes(self) -> int:
        """Return the bytes of all payloads."""
        return sum(len(payload) for payload in self.payloads)


def beyond(extents: Sequence[Extents], position: Position) -> tuple[Extents, ...]:
    """Return what a sweep has still to do behind a position."""
    return tuple(
        Extents.empty()
        if number < position.disk
        else each.subtract(Extents.whole(position.offset))
        if number == position.disk
        else each
        for number, each in enumerate(extents)
    )


def read_bytes_of(disks: Sequence[CapturedDisk], extents: Sequence[Extents]) -> int:
    """Return the bytes that have to be read for these ranges."""
    return sum(
        each.intersect(disk.allocated).total() for disk, each in zip(disks, extents, strict=True)
    )


def batch_bytes(part: int) -> int:
    """Return what is read for a batch at most, where a stream may hold `part` bytes."""
    return BATCH_BYTES if part >= READ_AHEAD_BATCHES * BATCH_BYTES else SMALL_BATCH_BYTES


def plan_batches(
    disks: Sequence[CapturedDisk], extents: Sequence[Extents], limit: Callable[[], int]
) -> Iterator[tuple[Piece, ...]]:
    """Yield the pieces of every batch, by disk and offset; at most the `limit` of the moment is read for each."""
    pieces: list[Piece] = []
    size = 0
    for piece in _pieces(disks, extents):
        is_full = size + piece.read_bytes > limit() or len(pieces) == MAX_BATCH_PIECES
        if pieces and is_full:
            yield tuple(pieces)
            pieces, size = [], 0
        pieces.append(piece)
        size += piece.read_bytes
    if pieces:
        yield tuple(pieces)


def _pieces(disks: Sequence[CapturedDisk], extents: Sequence[Extents]) -> Iterator[Piece]:
    for disk, ranges in zip(disks, extents, strict=True):
        data = ranges.intersect(disk.allocated)
        zeros = ranges.subtract(disk.allocated)
        read = ((offset, length, False) for offset, length in data.split(MAX_RECORD_BYTES))
        known = ((offset, length, True) for offset, length in zeros)
        for offset, length, is_zero in merge(read, known):
            yield Piece(disk, offset, length, is_zero)


def read_batch(pieces: tuple[Piece, ...], codec: Codec) -> Batch:
    """Read the pieces. Blocks; raises `HypervisorError`."""
    builder = _BatchBuilder(codec)
    for piece in pieces:
        builder.add(piece)
    last = pieces[-1]
    end = Position(last.disk.number, last.offset + last.length)
    return builder.finish(sum(piece.read_bytes for piece in pieces), end)


def read_piece(disk: CapturedDisk, offset: int, length: int) -> bytes:
    """Return exactly these bytes. Blocks; raises `HypervisorError`."""
    data = disk.reader.read(length, offset)
    if len(data) != length:
        raise HypervisorError(
            "short-read",
            f"Disk {disk.geometry.name} gave {len(data)} of {length} bytes at offset {offset}.",
            "Check the disk's storage; replication tries again.",
        )
    return data


def is_zeros(data: bytes) -> bool:
    """Tell whether a piece holds nothing but zeros."""
    # memcmp against a constant: no copy, and over at the first byte that is not zero
    return _ZEROS.startswith(data)


class _BatchBuilder:
    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._records: list[bytes] = []
        self._payloads: list[bytes] = []
        self._group: list[bytes | memoryview] = []
        self._group_bytes = 0
        self._data_bytes = 0
        self._zeros: tuple[int, int, int] | None = None

    def add(self, piece: Piece) -> None:
        number, offset = piece.disk.number, piece.offset
        if piece.is_zero:
            self._add_zeros(number, offset, piece.length)
            return
        data = read_piece(piece.disk, offset, piece.length)
        if is_zeros(data):
            self._add_zeros(number, offset, piece.length)
            return
        for start, length, is_data in data_runs(data):
            if not is_data:
                self._add_zeros(number, offset + start, length)
            elif length == len(data):
                self._add_data(number, offset, data)
            else:
                self._add_data(number, offset + start, memoryview(data)[start : start + length])

    def finish(self, scanned_bytes: int, end: Position) -> Batch:
        self._end_zeros()
        self._end_group()
        return Batch(
            b"".join(self._records), tuple(self._payloads), scanned_bytes, self._data_bytes, end
        )

    def _add_data(self, number: int, offset: int, data: bytes | memoryview) -> None:
        self._end_zeros()
        self._data_bytes += len(data)
        packed = compress(self._codec, data)
        if packed is None:
            self._records.append(data_record(number, offset, data))
            self._add_payload(data)
        else:
            self._records.append(data_record(number, offset, data, self._codec, len(packed)))
            self._add_payload(packed)

    def _add_payload(self, payload: bytes | memoryview) -> None:
        if self._group_bytes + len(payload) > MAX_PAYLOAD_BYTES:
            self._end_group()
        self._group.append(payload)
        self._group_bytes += len(payload)

    def _add_zeros(self, number: int, offset: int, length: int) -> None:
        if self._zeros is not None:
            disk, start, known = self._zeros
            if (disk, start + known) == (number, offset):
                self._zeros = (disk, start, known + length)
                return
        self._end_zeros()
        self._zeros = (number, offset, length)

    def _end_zeros(self) -> None:
        if self._zeros is not None:
            self._records.append(zero_record(*self._zeros))
            self._zeros = None

    def _end_group(self) -> None:
        if self._group:
            self._payloads.append(_message(self._group))
            self._group, self._group_bytes = [], 0


def _message(group: Iterable[bytes | memoryview]) -> bytes:
    # One large piece goes out as it was read. Small ones are joined, the only copy on this path: a message of its
    # own costs more than the copy of a few KiB.
    match list(group):
        case [bytes() as whole]:
            return whole
        case parts:
            return b"".join(parts)
