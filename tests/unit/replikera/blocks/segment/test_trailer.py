"""Segment trailers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import xxhash

from replikera.blocks.segment import (
    DiskGeometry,
    PointKind,
    SegmentFormatError,
    SegmentTrailer,
    decode_trailer,
)

STARTED = datetime(2026, 3, 1, 12, 0, 0, 250, UTC)
TRAILER = SegmentTrailer(
    capture_started_at=STARTED,
    capture_ended_at=STARTED + timedelta(seconds=1),
    kind=PointKind.NAMED,
    name="before the update",
    disks=(DiskGeometry("d", "d.vhdx", 1 << 20, 512),),
    machine=b'{"memory_bytes":1024,"name":"mail"}',
    records=12,
    payload_bytes=4096,
)


def resealed(text: bytes) -> bytes:
    prefix = b"RKTRAILR" + len(text).to_bytes(4, "little") + bytes(4)
    return prefix + text + xxhash.xxh3_128(text).digest()


@pytest.mark.parametrize("machine", [TRAILER.machine, None])
def test_a_trailer_comes_back(machine: bytes | None) -> None:
    trailer = replace(TRAILER, machine=machine)
    assert decode_trailer(trailer.encode()) == trailer


def test_every_changed_byte_is_noticed() -> None:
    data = TRAILER.encode()
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0x04
        with pytest.raises(SegmentFormatError):
            decode_trailer(bytes(damaged))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'"named"', b'"guessed"', "kind 'guessed'"),
        (b'"records":12', b'"records":-1', "records"),
        (b'"records":12', b'"record":12', "not an object of"),
        (b'{"memory_bytes":1024,"name":"mail"}', b"7", "machine is not an object"),
        (b"12:00:00.000250Z", b"12:00:02.000250Z", "ended before it started"),
        (b'"before the update"', b'"' + b"n" * 257 + b'"', "name"),
    ],
)
def test_a_well_summed_lie_is_refused(old: bytes, new: bytes, problem: str) -> None:
    text = TRAILER.encode()[16:-16]
    assert old in text
    with pytest.raises(SegmentFormatError, match=problem):
        decode_trailer(resealed(text.replace(old, new)))


def test_another_length_is_refused() -> None:
    data = TRAILER.encode()
    for wrong in (b"", data[:40], data[:-1], data + b"\0", data + bytes(1 << 18)):
        with pytest.raises(SegmentFormatError, match="trailer"):
            decode_trailer(wrong)


def test_an_oversized_or_malformed_machine_is_not_encoded() -> None:
    with pytest.raises(SegmentFormatError, match="262144 at most"):
        replace(TRAILER, machine=b'"' + b"m" * (256 << 10) + b'"').encode()
    with pytest.raises(SegmentFormatError, match="the machine is not in canonical form"):
        replace(TRAILER, machine=b'{"b": 1}').encode()
