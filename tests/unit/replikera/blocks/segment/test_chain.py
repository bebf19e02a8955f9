"""The chain digest."""

import struct
from dataclasses import replace

from blake3 import blake3

from replikera.blocks.segment import (
    NO_POINT,
    ChainDigest,
    ChunkDigest,
    DiskGeometry,
    SegmentHeader,
    SegmentKind,
    zero_record,
)

HEADER = SegmentHeader(
    protection_id="6f1c1f0e-0d0e-4a55-8c2f-0f5a5b7f0001",
    epoch=1,
    generation="6f1c1f0e-0d0e-4a55-8c2f-0f5a5b7f0002",
    sequence=1,
    attempt=1,
    previous=NO_POINT,
    kind=SegmentKind.INITIAL,
    disks=(DiskGeometry("d", "d.vhdx", 1 << 20, 512),),
)
RECORDS = zero_record(0, 0, 512) + zero_record(0, 512, 512)


def digest(header: SegmentHeader, *records: bytes, trailer: bytes = b"trailer") -> bytes:
    chain = ChainDigest(header)
    for part in records:
        chain.add_records(part)
    return chain.finish(trailer)


def test_it_is_the_digest_of_all_parts_in_order() -> None:
    expected = blake3(NO_POINT + HEADER.encode() + RECORDS + b"trailer").digest()
    assert digest(HEADER, RECORDS) == expected
    assert digest(HEADER, RECORDS[:48], RECORDS[48:]) == expected


def test_every_part_counts() -> None:
    digests = {
        digest(HEADER, RECORDS),
        digest(HEADER, RECORDS[48:], RECORDS[:48]),
        digest(HEADER, RECORDS[:48]),
        digest(HEADER, RECORDS, trailer=b"other"),
        digest(replace(HEADER, attempt=2), RECORDS),
        digest(replace(HEADER, disks=(DiskGeometry("e", "d.vhdx", 1 << 20, 512),)), RECORDS),
        digest(replace(HEADER, previous=b"\1" * 32, sequence=2), RECORDS),
    }
    assert len(digests) == 7


def test_finishing_twice_gives_the_same() -> None:
    chain = ChainDigest(HEADER)
    assert chain.finish(b"t") == chain.finish(b"t")


def test_a_copy_goes_on_by_itself() -> None:
    chain = ChainDigest(HEADER)
    chain.add_records(RECORDS[:48])
    kept = chain.copy()
    chain.add_records(RECORDS[:48])
    kept.add_records(RECORDS[48:])
    assert kept.finish(b"trailer") == digest(HEADER, RECORDS)


def test_a_chunk_is_bound_to_the_one_before_its_number_and_its_watermarks() -> None:
    def chunk(previous: bytes, number: int, records: bytes, watermark: int) -> bytes:
        digest = ChunkDigest(HEADER, number, previous)
        digest.add_records(records)
        return digest.finish([watermark])

    first = chunk(NO_POINT, 1, RECORDS, 1024)
    parts = NO_POINT, HEADER.encode(), (1).to_bytes(8, "little"), RECORDS, struct.pack("<q", 1024)
    assert first == blake3(b"".join(parts)).digest()
    others = {
        first,
        chunk(b"\1" * 32, 1, RECORDS, 1024),
        chunk(NO_POINT, 2, RECORDS, 1024),
        chunk(NO_POINT, 1, RECORDS[:48], 1024),
        chunk(NO_POINT, 1, RECORDS, 512),
    }
    assert len(others) == 5
