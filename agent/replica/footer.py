"""The last sector of a sealed redo or undo: whose it is and where its parts end."""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import google_crc32c

from replikera.blocks.segment import SegmentFormatError
from replikera.ports.files import File

FOOTER_BYTES = 512
_MAGIC = b"RKSEALED"
_VERSION = 1
_FIELDS = struct.Struct("<8sIIQQQQq32s32s")
_CHECKSUM = struct.Struct("<I")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Footer:
    """`point_id` is the point that the file belongs to, `previous` the point before it.

    Frames end at `frames_end`; a trailer of `trailer_length` bytes follows in a redo, nothing in an undo.
    """

    sequence: int
    point_id: bytes
    previous: bytes
    frames_end: int
    trailer_length: int
    records: int
    payload_bytes: int
    sealed_at: datetime

    def encode(self) -> bytes:
        """Return one sector."""
        fields = _FIELDS.pack(
            _MAGIC,
            _VERSION,
            self.trailer_length,
            self.sequence,
            self.frames_end,
            self.records,
            self.payload_bytes,
            (self.sealed_at - _EPOCH) // timedelta(microseconds=1),
            self.point_id,
            self.previous,
        ).ljust(FOOTER_BYTES - _CHECKSUM.size, b"\0")
        return fields + _CHECKSUM.pack(google_crc32c.value(fields))


def read_footer(file: File) -> Footer:
    """Return the footer of a sealed file. Raises `SegmentFormatError`."""
    size = file.size()
    data = file.read(FOOTER_BYTES, max(0, size - FOOTER_BYTES))
    fields, checksum = data[: -_CHECKSUM.size], data[-_CHECKSUM.size :]
    if len(data) != FOOTER_BYTES or _CHECKSUM.pack(google_crc32c.value(fields)) != checksum:
        raise SegmentFormatError(f"the footer of {file.path.name} is damaged")
    magic, version, trailer_length, sequence, frames_end, records, payload, sealed_at, *ids = (
        _FIELDS.unpack_from(fields)
    )
    if magic != _MAGIC or version != _VERSION:
        raise SegmentFormatError(f"{file.path.name} is not a sealed file of version {_VERSION}")
    if frames_end + trailer_length + FOOTER_BYTES != size:
        raise SegmentFormatError(f"{file.path.name} has another length than when it was sealed")
    return Footer(
        sequence=sequence,
        point_id=ids[0],
        previous=ids[1],
        frames_end=frames_end,
        trailer_length=trailer_length,
        records=records,
        payload_bytes=payload,
        sealed_at=_EPOCH + timedelta(microseconds=sealed_at),
    )
