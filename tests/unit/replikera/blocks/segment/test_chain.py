"""The chain digest."""

from dataclasses import replace

from blake3 import blake3

from replikera.blocks.segment import (
    NO_POINT,
    ChainDigest,
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
