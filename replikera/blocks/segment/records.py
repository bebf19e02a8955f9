"""Records of a segment: which bytes of which disk, as data or as zeros, each with its checksum."""

import struct
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import xxhash
from numpy.typing import NDArray

from replikera.blocks.segment.canonical import SegmentFormatError
from replikera.blocks.segment.geometry import MAX_DISK_BYTES, MAX_DISKS

MAX_RECORD_BYTES = 1 << 20
"""Bytes a data record carries at most: what one checksum covers, and the smallest read-ahead."""

MAX_BATCH_RECORDS = 1 << 16
"""Records parsed at once: 3 MiB of table."""

ALIGNMENT = 512

RECORD = np.dtype(
    [
        ("disk", "<u2"),
        ("kind", "u1"),
        ("codec", "u1"),
        ("stored_length", "<u4"),
        ("offset", "<i8"),
        ("length", "<i8"),
        ("checksum", "u1", (16,)),
        ("reserved", "<u8"),
    ]
)
RECORD_BYTES = RECORD.itemsize
Records: TypeAlias = NDArray[np.void]
"""An array of `RECORD`."""

_RECORD = struct.Struct("<HBBIQQ16s8x")
_PLACE = struct.Struct("<HQQ")


class RecordKind(IntEnum):
    """Bytes, or the statement that all bytes of the range are zero."""

    DATA = 0
    ZERO = 1


class Codec(IntEnum):
    """How the payload is stored."""

    NONE = 0
    LZ4 = 1
    ZSTD = 2


def record_checksum(disk: int, offset: int, length: int, payload: bytes | memoryview) -> bytes:
    """Return the xxh3-128 of the plain bytes bound to their place; zero records have no payload."""
    state = xxhash.xxh3_128(_PLACE.pack(disk, offset, length))
    state.update(payload)
    return state.digest()


def data_record(
    disk: int,
    offset: int,
    plain: bytes | memoryview,
    codec: Codec = Codec.NONE,
    stored_length: int | None = None,
) -> bytes:
    """Return the record of these bytes; `stored_length` are those that follow it where they are compressed."""
    length = len(plain)
    checksum = record_checksum(disk, offset, length, plain)
    stored = length if stored_length is None else stored_length
    return _RECORD.pack(disk, RecordKind.DATA, codec, stored, offset, length, checksum)


def zero_record(disk: int, offset: int, length: int) -> bytes:
    """Return the record of a range of zeros of any length."""
    checksum = record_checksum(disk, offset, length, b"")
    return _RECORD.pack(disk, RecordKind.ZERO, Codec.NONE, 0, offset, length, checksum)


def parse_records(data: bytes | memoryview) -> Records:
    """Return the records as a view of `data`, each checked by itself. Raises `SegmentFormatError`.

    Bounds, order and checksums need more than the records and are left to the caller.
    """
    count, rest = divmod(len(data), RECORD_BYTES)
    if rest or not 1 <= count <= MAX_BATCH_RECORDS:
        raise SegmentFormatError(
            f"{len(data)} bytes are not 1 to {MAX_BATCH_RECORDS} records of {RECORD_BYTES} bytes"
        )
    records: Records = np.frombuffer(data, dtype=RECORD)
    _require(records["disk"] < MAX_DISKS, "names a disk that cannot exist")
    _require(records["kind"] <= RecordKind.ZERO, "is of an unknown kind")
    _require(records["codec"] <= Codec.ZSTD, "uses an unknown codec")
    _require(records["reserved"] == 0, "has reserved bytes that are not zero")
    _check_ranges(records)
    return records


def _check_ranges(records: Records) -> None:
    offset, length, stored = records["offset"], records["length"], records["stored_length"]
    _require((offset >= 0) & (offset < MAX_DISK_BYTES), "begins beyond any disk")
    _require((length > 0) & (length <= MAX_DISK_BYTES), "has an impossible length")
    _require((offset | length) % ALIGNMENT == 0, f"is not aligned to {ALIGNMENT} bytes")
    is_data = records["kind"] == RecordKind.DATA
    _require(~is_data | (length <= MAX_RECORD_BYTES), f"carries more than {MAX_RECORD_BYTES} bytes")
    is_packed = records["codec"] != Codec.NONE
    _require(is_data | ~is_packed, "has a codec and no payload")
    is_right = np.where(is_packed, (stored > 0) & (stored < length), stored == length * is_data)
    _require(is_right, "stores another length than it covers")


def _require(is_right: NDArray[np.bool_], problem: str) -> None:
    if not is_right.all():
        raise SegmentFormatError(f"record {int(np.argmin(is_right))} of the batch {problem}")
