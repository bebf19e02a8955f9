"""The sealed, immutable file that carries one cycle over all disks of a machine: its format.

Pure encoding and decoding; `docs/segment-format.md` is the specification. What a peer or a file says is checked
here as far as one structure can be checked by itself; the replica checks it against what it holds.
"""

from replikera.blocks.segment.canonical import SegmentFormatError
from replikera.blocks.segment.chain import ChainDigest, ChunkDigest
from replikera.blocks.segment.codecs import compress, decompress
from replikera.blocks.segment.geometry import MAX_DISK_BYTES, MAX_DISKS, DiskGeometry
from replikera.blocks.segment.header import (
    HEADER_BYTES,
    MAX_HEADER_BYTES,
    NO_POINT,
    SegmentHeader,
    SegmentKind,
    decode_header,
)
from replikera.blocks.segment.payload import verify_payload
from replikera.blocks.segment.records import (
    MAX_BATCH_RECORDS,
    MAX_RECORD_BYTES,
    RECORD,
    RECORD_BYTES,
    Codec,
    RecordKind,
    Records,
    data_record,
    parse_records,
    record_checksum,
    zero_record,
)
from replikera.blocks.segment.trailer import (
    MAX_TRAILER_BYTES,
    PointKind,
    SegmentTrailer,
    decode_trailer,
)

__all__ = [
    "HEADER_BYTES",
    "MAX_BATCH_RECORDS",
    "MAX_DISKS",
    "MAX_DISK_BYTES",
    "MAX_HEADER_BYTES",
    "MAX_RECORD_BYTES",
    "MAX_TRAILER_BYTES",
    "NO_POINT",
    "RECORD",
    "RECORD_BYTES",
    "ChainDigest",
    "ChunkDigest",
    "Codec",
    "DiskGeometry",
    "PointKind",
    "RecordKind",
    "Records",
    "SegmentFormatError",
    "SegmentHeader",
    "SegmentKind",
    "SegmentTrailer",
    "compress",
    "data_record",
    "decode_header",
    "decode_trailer",
    "decompress",
    "parse_records",
    "record_checksum",
    "verify_payload",
    "zero_record",
]
