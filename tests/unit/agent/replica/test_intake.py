"""One segment as it arrives."""

from dataclasses import replace

import pytest

from agent.replica.errors import ReplicaError
from agent.replica.intake import Intake
from replikera.blocks.segment import (
    SegmentTrailer,
    decode_header,
    decode_trailer,
)
from tests.support.segments import NOTHING, Segment, Write, build_segment, disks_of, machine_of

DISKS = (*disks_of(8192, 4096), replace(disks_of(8192)[0], disk_id="4k", logical_sector_size=4096))
A, B = b"a" * 512, b"b" * 1024


def segment_of(*writes: Write) -> Segment:
    return build_segment(NOTHING, DISKS, writes)


def intake_of(segment: Segment) -> Intake:
    return Intake(decode_header(segment.header))


def test_a_batch_counts_when_it_was_right() -> None:
    segment = segment_of(Write(0, 512, A), Write(1, 0, 1024))
    intake = intake_of(segment)
    with pytest.raises(ReplicaError):
        intake.take(segment.records, [b"x" * 512])
    assert (intake.records, intake.payload_bytes) == (0, 0)
    assert len(intake.take(segment.records, segment.payloads)) == 2
    assert (intake.records, intake.payload_bytes) == (2, 512)


def finished(segment: Segment, trailer: bytes, digest: bytes) -> SegmentTrailer:
    intake = intake_of(segment)
    intake.take(segment.records, segment.payloads)
    return intake.finish(trailer, digest)


def test_a_complete_segment_is_finished() -> None:
    segment = segment_of(Write(0, 0, A))
    trailer = finished(segment, segment.trailer, segment.chain_digest)
    assert trailer.payload_bytes == 512


@pytest.mark.parametrize(
    ("changes", "code", "part"),
    [
        ({"records": 2}, "incomplete", "1 records and 512 bytes arrived"),
        ({"payload_bytes": 1}, "incomplete", "counts 1 and 1"),
        ({"disks": disks_of(8192)}, "malformed-segment", "other disks"),
        ({"machine": None}, "malformed-segment", "no machine"),
        ({"machine": b'{"name":"x"}'}, "malformed-segment", "not a machine"),
        ({"machine": machine_of(disks_of(8192))}, "malformed-segment", "machine has other disks"),
        ({"name": "other"}, "wrong-digest", "digest"),
    ],
)
def test_a_wrong_trailer_is_refused(changes: dict[str, object], code: str, part: str) -> None:
    segment = segment_of(Write(0, 0, A))
    trailer = replace(decode_trailer(segment.trailer), **changes)  # type: ignore[arg-type]  # by name
    with pytest.raises(ReplicaError, match=part) as error:
        finished(segment, trailer.encode(), segment.chain_digest)
    assert error.value.code == code


def test_a_malformed_trailer_and_a_wrong_digest_are_refused() -> None:
    segment = segment_of(Write(0, 0, A))
    with pytest.raises(ReplicaError) as error:
        finished(segment, segment.trailer[:-1], segment.chain_digest)
    assert error.value.code == "malformed-segment"
    with pytest.raises(ReplicaError) as error:
        finished(segment, segment.trailer, segment.chain_digest[::-1])
    assert error.value.code == "wrong-digest"
