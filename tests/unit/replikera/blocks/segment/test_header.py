"""Segment headers."""

from dataclasses import replace

import google_crc32c
import pytest

from replikera.blocks.segment import (
    HEADER_BYTES,
    NO_POINT,
    DiskGeometry,
    SegmentFormatError,
    SegmentHeader,
    SegmentKind,
    decode_header,
)
from replikera.blocks.segment.header import disks_length

INITIAL = SegmentHeader(
    protection_id="6f1c1f0e-0d0e-4a55-8c2f-0f5a5b7f0001",
    epoch=3,
    generation="6f1c1f0e-0d0e-4a55-8c2f-0f5a5b7f0002",
    sequence=1,
    attempt=7,
    previous=NO_POINT,
    kind=SegmentKind.INITIAL,
    disks=(DiskGeometry("d", "d.vhdx", 1 << 20, 512),),
)
DELTA = replace(INITIAL, sequence=2, previous=bytes(range(32)), kind=SegmentKind.DELTA)


def resealed(data: bytes, offset: int, value: bytes) -> bytes:
    changed = data[:offset] + value + data[offset + len(value) :]
    checksum = int(google_crc32c.value(changed[:508])).to_bytes(4, "little")
    return changed[:508] + checksum + changed[512:]


@pytest.mark.parametrize("header", [INITIAL, DELTA])
def test_a_header_comes_back(header: SegmentHeader) -> None:
    data = header.encode()
    assert decode_header(data) == header
    assert disks_length(data[:HEADER_BYTES]) == len(data) - HEADER_BYTES


def test_every_changed_byte_is_noticed() -> None:
    data = DELTA.encode()
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        with pytest.raises(SegmentFormatError):
            decode_header(bytes(damaged))


@pytest.mark.parametrize(
    ("offset", "value", "problem"),
    [
        (0, b"RKSEGMNX", "not a segment"),
        (8, b"\2\0", "version 2"),
        (10, b"\3\0", "kind 3"),
        (10, b"\2\0", "sequence 1 is an initial"),
        (56, bytes(8), "out of range"),
        (56, b"\xff" * 8, "out of range"),
        (56, b"\1" + bytes(7), "sequence 1 is an initial"),
        (64, b"\xff" * 8, "out of range"),
        (72, bytes(32), "no point before"),
        (200, b"\1", "reserved"),
    ],
)
def test_a_well_summed_lie_is_refused(offset: int, value: bytes, problem: str) -> None:
    with pytest.raises(SegmentFormatError, match=problem):
        decode_header(resealed(DELTA.encode(), offset, value))


def test_a_header_of_another_length_is_refused() -> None:
    data = DELTA.encode()
    for wrong in (b"", data[:HEADER_BYTES], data[:-1], data + b"\0", data + bytes(1 << 17)):
        with pytest.raises(SegmentFormatError):
            decode_header(wrong)


def test_only_a_segment_tells_the_length_of_its_disks() -> None:
    for wrong in (b"", bytes(HEADER_BYTES), DELTA.encode()[:100]):
        with pytest.raises(SegmentFormatError, match="not a segment"):
            disks_length(wrong)
