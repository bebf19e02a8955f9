"""The payload of one record: unpacked, and believed only when the checksum says so."""

import numpy as np

from replikera.blocks.segment.canonical import SegmentFormatError
from replikera.blocks.segment.codecs import decompress
from replikera.blocks.segment.records import Codec, RecordKind, record_checksum


def verify_payload(record: np.void, payload: bytes | memoryview) -> bytes | memoryview:
    """Return the plain bytes of a record that `parse_records` took; none for a zero record.

    Raises `SegmentFormatError` unless the checksum is that of the plain bytes and their place.
    """
    disk, kind, codec, stored_length, offset, length, checksum, _ = record.tolist()
    if len(payload) != stored_length:
        raise SegmentFormatError(
            f"disk {disk} offset {offset}: {len(payload)} bytes of payload, not {stored_length}"
        )
    try:
        plain = payload if codec == Codec.NONE else decompress(Codec(codec), payload, length)
    except SegmentFormatError as error:
        raise SegmentFormatError(f"disk {disk} offset {offset}: {error}") from error
    if record_checksum(disk, offset, length, plain) != bytes(checksum):
        name = RecordKind(kind).name.lower()
        raise SegmentFormatError(f"disk {disk} offset {offset}: wrong checksum of a {name} record")
    return plain
