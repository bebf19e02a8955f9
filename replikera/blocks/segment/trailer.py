"""The last bytes of a segment: what state it leads to."""

import struct
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import xxhash

from replikera.blocks.segment.canonical import (
    Json,
    SegmentFormatError,
    decode_canonical,
    encode_canonical,
    format_instant,
    number_of,
    object_of,
    parse_instant,
    text_of,
)
from replikera.blocks.segment.geometry import DiskGeometry, parse_disks

MAGIC = b"RKTRAILR"
MAX_TRAILER_BYTES = 256 * 1024
"""64 KiB of machine description, 40 KiB of disks, and room to grow."""

MAX_POINT_NAME_CHARACTERS = 256
_MAX_COUNT = (1 << 63) - 1
_PREFIX = struct.Struct("<8sI4x")
_CHECKSUM_BYTES = 16
_KEYS = frozenset(
    {
        "capture_ended_at",
        "capture_started_at",
        "disks",
        "kind",
        "machine",
        "name",
        "payload_bytes",
        "records",
    }
)


class PointKind(StrEnum):
    """How consistent a recovery point is."""

    CRASH_CONSISTENT = "crash-consistent"
    APPLICATION_CONSISTENT = "application-consistent"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class SegmentTrailer:
    """`machine` is the canonical description, None where it is that of the point before."""

    capture_started_at: datetime
    capture_ended_at: datetime
    kind: PointKind
    name: str
    disks: tuple[DiskGeometry, ...]
    machine: bytes | None
    records: int
    payload_bytes: int

    def encode(self) -> bytes:
        """Return prefix, canonical JSON and checksum. Raises `SegmentFormatError`."""
        text = encode_canonical(self._to_json())
        data = _PREFIX.pack(MAGIC, len(text)) + text + xxhash.xxh3_128(text).digest()
        if len(data) > MAX_TRAILER_BYTES:
            raise SegmentFormatError(f"a trailer of {len(data)} bytes; {MAX_TRAILER_BYTES} at most")
        return data

    def _to_json(self) -> Json:
        machine = None if self.machine is None else decode_canonical(self.machine, "the machine")
        return {
            "capture_ended_at": format_instant(self.capture_ended_at),
            "capture_started_at": format_instant(self.capture_started_at),
            "disks": [disk.to_json() for disk in self.disks],
            "kind": self.kind.value,
            "machine": machine,
            "name": self.name,
            "payload_bytes": self.payload_bytes,
            "records": self.records,
        }


def decode_trailer(data: bytes) -> SegmentTrailer:
    """Return what `SegmentTrailer.encode` made. Raises `SegmentFormatError`."""
    fields = object_of(
        decode_canonical(_text_of_trailer(data), "the trailer"), _KEYS, "the trailer"
    )
    machine = fields["machine"]
    if machine is not None and not isinstance(machine, dict):
        raise SegmentFormatError("the trailer's machine is not an object")
    trailer = SegmentTrailer(
        capture_started_at=parse_instant(fields, "capture_started_at"),
        capture_ended_at=parse_instant(fields, "capture_ended_at"),
        kind=_kind(text_of(fields, "kind", 64)),
        name=text_of(fields, "name", MAX_POINT_NAME_CHARACTERS),
        disks=parse_disks(fields["disks"]),
        machine=None if machine is None else encode_canonical(machine),
        records=number_of(fields, "records", _MAX_COUNT),
        payload_bytes=number_of(fields, "payload_bytes", _MAX_COUNT),
    )
    if trailer.capture_ended_at < trailer.capture_started_at:
        raise SegmentFormatError("the capture ended before it started")
    return trailer


def _text_of_trailer(data: bytes) -> bytes:
    if not _PREFIX.size + _CHECKSUM_BYTES < len(data) <= MAX_TRAILER_BYTES:
        raise SegmentFormatError(f"a trailer of {len(data)} bytes")
    magic, length = _PREFIX.unpack_from(data)
    if magic != MAGIC or data[12:16] != bytes(4):
        raise SegmentFormatError("this is not a trailer")
    text, checksum = data[_PREFIX.size : -_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if length != len(text) or xxhash.xxh3_128(text).digest() != checksum:
        raise SegmentFormatError("the trailer's checksum is wrong")
    return text


def _kind(value: str) -> PointKind:
    try:
        return PointKind(value)
    except ValueError as error:
        raise SegmentFormatError(f"point kind {value!r} is unknown") from error
