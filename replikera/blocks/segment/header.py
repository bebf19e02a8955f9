"""The first bytes of a segment: whose it is, where in the lineage it belongs, which disks it is about."""

import struct
import uuid
from dataclasses import dataclass
from enum import IntEnum

import google_crc32c
import xxhash

from replikera.blocks.segment.canonical import SegmentFormatError
from replikera.blocks.segment.geometry import DiskGeometry, decode_disks, encode_disks

MAGIC = b"RKSEGMNT"
VERSION = 1
HEADER_BYTES = 512
MAX_HEADER_BYTES = HEADER_BYTES + 64 * 1024
"""64 disks with names of 255 characters need 40 KiB."""

DIGEST_BYTES = 32
NO_POINT = bytes(DIGEST_BYTES)
"""The previous digest of a lineage's first segment."""

_MAX_NUMBER = (1 << 63) - 1
_FIELDS = struct.Struct("<8sHHI16s16sQQQ32s16s")
_CHECKSUM = struct.Struct("<I")
_CHECKSUM_OFFSET = HEADER_BYTES - _CHECKSUM.size


class SegmentKind(IntEnum):
    """A delta goes on from the point before; an initial segment carries all that is not zero."""

    DELTA = 1
    INITIAL = 2


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """Identity of a segment. `previous` is the chain digest of the point before, `NO_POINT` for none."""

    protection_id: str
    epoch: int
    generation: str
    sequence: int
    attempt: int
    previous: bytes
    kind: SegmentKind
    disks: tuple[DiskGeometry, ...]

    def encode(self) -> bytes:
        """Return the fixed header and the list of disks behind it."""
        disks = encode_disks(self.disks)
        fields = _FIELDS.pack(
            MAGIC,
            VERSION,
            self.kind,
            len(disks),
            _uuid_bytes(self.protection_id),
            _uuid_bytes(self.generation),
            self.epoch,
            self.sequence,
            self.attempt,
            self.previous,
            xxhash.xxh3_128(disks).digest(),
        )
        padded = fields.ljust(_CHECKSUM_OFFSET, b"\0")
        return padded + _CHECKSUM.pack(google_crc32c.value(padded)) + disks


def decode_header(data: bytes) -> SegmentHeader:
    """Return what `SegmentHeader.encode` made. Raises `SegmentFormatError`."""
    if not HEADER_BYTES < len(data) <= MAX_HEADER_BYTES:
        raise SegmentFormatError(f"a segment header of {len(data)} bytes")
    fixed = data[:_CHECKSUM_OFFSET]
    magic, version, kind, disks_length, protection, generation, *numbers = _FIELDS.unpack_from(data)
    if magic != MAGIC:
        raise SegmentFormatError("this is not a segment")
    if version != VERSION:
        raise SegmentFormatError(f"segment version {version}; this agent reads {VERSION}")
    if _CHECKSUM.unpack_from(data, _CHECKSUM_OFFSET) != (google_crc32c.value(fixed),):
        raise SegmentFormatError("the segment header's checksum is wrong")
    if any(fixed[_FIELDS.size :]):
        raise SegmentFormatError("reserved bytes of the segment header are not zero")
    epoch, sequence, attempt, previous, disks_checksum = numbers
    disks = data[HEADER_BYTES:]
    if len(disks) != disks_length or xxhash.xxh3_128(disks).digest() != disks_checksum:
        raise SegmentFormatError("the list of disks is not the one the segment header names")
    header = SegmentHeader(
        protection_id=str(uuid.UUID(bytes=protection)),
        epoch=epoch,
        generation=str(uuid.UUID(bytes=generation)),
        sequence=sequence,
        attempt=attempt,
        previous=previous,
        kind=_kind(kind),
        disks=decode_disks(disks),
    )
    _check_place(header)
    return header


def disks_length(fixed: bytes) -> int:
    """Return how many bytes the list of disks behind a fixed header has, as it claims."""
    if len(fixed) < HEADER_BYTES or not fixed.startswith(MAGIC):
        raise SegmentFormatError("this is not a segment")
    length: int = _FIELDS.unpack_from(fixed)[3]
    return min(length, MAX_HEADER_BYTES)


def _check_place(header: SegmentHeader) -> None:
    if max(header.epoch, header.sequence, header.attempt) > _MAX_NUMBER or not header.sequence:
        raise SegmentFormatError("epoch, sequence or attempt of the segment is out of range")
    is_first = header.sequence == 1
    if is_first != (header.kind is SegmentKind.INITIAL):
        raise SegmentFormatError("sequence 1 is an initial segment, and only sequence 1 is")
    if is_first != (header.previous == NO_POINT):
        raise SegmentFormatError("only sequence 1 has no point before it")


def _kind(value: int) -> SegmentKind:
    try:
        return SegmentKind(value)
    except ValueError as error:
        raise SegmentFormatError(f"segment kind {value} is unknown") from error


def _uuid_bytes(text: str) -> bytes:
    return uuid.UUID(text).bytes
