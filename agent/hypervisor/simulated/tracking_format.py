"""The bytes of one tracking log: a header, batches of ranges, and an end that counts the batches.

A log has a random id and names the log before it; each batch has its number and a checksum bound to log and number.
So a log that was cut at a batch, altered, or begun anew under an old number does not pass for the one it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import TypeAlias
from uuid import UUID

import numpy as np
import xxhash

from replikera.blocks.extents import Extents

RANGE = np.dtype([("disk", "<i8"), ("offset", "<i8"), ("length", "<i8")])
"""One written range; `disk` is the disk's place in the machine."""

Ranges: TypeAlias = np.ndarray[tuple[int], np.dtype[np.void]]

_HEADER = Struct("<8sQ16s16sQ8x")
_MAGIC = b"rk-track"
_BATCH = Struct("<4sIQQ")
_RANGES = b"RNGS"
_END = b"END."

HEADER_BYTES = _HEADER.size
BATCH_BYTES = _BATCH.size
"""What a batch takes beside its ranges."""


class MalformedLogError(ValueError):
    """The bytes are not a whole tracking log."""


@dataclass(frozen=True, slots=True)
class TrackingLog:
    """What a log holds. `sound_bytes` are those before an incomplete last batch."""

    number: int
    log_id: UUID
    previous_id: UUID
    batches: int
    is_closed: bool
    sound_bytes: int
    ranges: Ranges


def encode_header(number: int, log_id: UUID, previous_id: UUID) -> bytes:
    """Return the beginning of a log."""
    fields = (_MAGIC, number, log_id.bytes, previous_id.bytes)
    checksum = xxhash.xxh3_64_intdigest(_HEADER.pack(*fields, 0))
    return _HEADER.pack(*fields, checksum)


def encode_ranges(log_id: UUID, index: int, ranges: Ranges) -> bytes:
    """Return the batch `index` of a log."""
    return _encode_batch(log_id, index, _RANGES, ranges.tobytes())


def encode_end(log_id: UUID, index: int) -> bytes:
    """Return what closes a log after `index` batches."""
    return _encode_batch(log_id, index, _END, b"")


def parse_log(data: bytes) -> TrackingLog:
    """Return the log that `data` holds. Raises `MalformedLogError`."""
    number, log_id, previous_id = _parse_header(data)
    tables: list[Ranges] = []
    position, is_closed = HEADER_BYTES, False
    while (end := _end_of_batch(data, position)) is not None:
        if is_closed:
            raise MalformedLogError("it goes on after its end")
        kind, _, index, checksum = _BATCH.unpack_from(data, position)
        body = data[position + BATCH_BYTES : end]
        is_sound = checksum == _checksum(log_id, index, kind, body)
        if kind not in {_RANGES, _END} or index != len(tables) or not is_sound:
            raise MalformedLogError(f"it is damaged at byte {position}")
        is_closed = kind == _END
        tables.append(np.frombuffer(body, dtype=RANGE))
        position = end
    return TrackingLog(
        number=number,
        log_id=log_id,
        previous_id=previous_id,
        batches=len(tables),
        is_closed=is_closed and position == len(data),
        sound_bytes=position,
        ranges=np.concatenate(tables) if tables else np.empty(0, dtype=RANGE),
    )


def table_of(written: Mapping[int, Extents]) -> Ranges:
    """Return the extents of several disks as one table."""
    total = sum(len(extents) for extents in written.values())
    table, row = np.empty(total, dtype=RANGE), 0
    for disk, extents in written.items():
        part = table[row : row + len(extents)]
        part["disk"], part["offset"] = disk, extents.starts
        part["length"] = extents.ends - extents.starts
        row += len(extents)
    return table


def extents_of(ranges: Ranges, sizes: Sequence[int]) -> list[Extents]:
    """Return what a table says of each disk. Raises `MalformedLogError` for what lies outside the disks."""
    bounds = np.asarray(sizes, dtype=np.int64)
    disks, starts, lengths = ranges["disk"], ranges["offset"], ranges["length"]
    if bool(((disks < 0) | (disks >= len(bounds)) | (starts < 0) | (lengths < 0)).any()):
        raise MalformedLogError("it names a range that cannot be")
    # Subtracted, for the sum of two large numbers could wrap around.
    if bool((lengths > bounds[disks] - starts).any()):
        raise MalformedLogError("it names a range outside its disk")
    rows = (ranges[disks == disk] for disk in range(len(bounds)))
    return [Extents.from_arrays(row["offset"], row["offset"] + row["length"]) for row in rows]


def _parse_header(data: bytes) -> tuple[int, UUID, UUID]:
    if len(data) < HEADER_BYTES:
        raise MalformedLogError("it has no header")
    magic, number, log_id, previous_id, _ = _HEADER.unpack_from(data)
    ids = UUID(bytes=log_id), UUID(bytes=previous_id)
    if magic != _MAGIC or data[:HEADER_BYTES] != encode_header(number, *ids):
        raise MalformedLogError("its header is damaged")
    return number, *ids


def _encode_batch(log_id: UUID, index: int, kind: bytes, body: bytes) -> bytes:
    count = len(body) // RANGE.itemsize
    return _BATCH.pack(kind, count, index, _checksum(log_id, index, kind, body)) + body


def _checksum(log_id: UUID, index: int, kind: bytes, body: bytes) -> int:
    return xxhash.xxh3_64_intdigest(log_id.bytes + kind + index.to_bytes(8, "little") + body)


def _end_of_batch(data: bytes, position: int) -> int | None:
    """Return where the batch at `position` ends, None where the data ends before."""
    if position + BATCH_BYTES > len(data):
        return None
    count = int(_BATCH.unpack_from(data, position)[1])
    end = position + BATCH_BYTES + count * RANGE.itemsize
    return end if end <= len(data) else None
