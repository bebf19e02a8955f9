"""What is checked of a segment before a byte of it is written."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent.replica.errors import ReplicaError
from agent.replica.frames import MAX_FRAME_PAYLOAD
from agent.replica.intake import Intake
from replikera.blocks.segment import (
    RECORD_BYTES,
    SegmentTrailer,
    data_record,
    decode_header,
    decode_trailer,
    zero_record,
)
from tests.support.segments import NOTHING, Segment, Write, build_segment, disks_of, machine_of

DISKS = (*disks_of(8192, 4096), replace(disks_of(8192)[0], disk_id="4k", logical_sector_size=4096))
A, B = b"a" * 512, b"b" * 1024


def segment_of(*writes: Write) -> Segment:
    return build_segment(NOTHING, DISKS, writes)


def intake_of(segment: Segment) -> Intake:
    return Intake(decode_header(segment.header))


def refusal(
    records: bytes, payloads: Sequence[bytes], intake: Intake | None = None
) -> ReplicaError:
    intake = intake or intake_of(segment_of())
    before = (intake.records, intake.payload_bytes)
    with pytest.raises(ReplicaError) as error:
        intake.take(records, payloads)
    assert (intake.records, intake.payload_bytes) == before
    return error.value


def test_a_batch_becomes_pieces() -> None:
    segment = segment_of(Write(0, 512, A), Write(1, 0, 1024), Write(0, 1024, B))
    intake = intake_of(segment)
    pieces = intake.take(segment.records, segment.payloads)
    found = [(piece.disk, piece.offset, piece.length, piece.data) for piece in pieces]
    assert found == [(0, 512, 512, A), (1, 0, 1024, None), (0, 1024, 1024, B)]
    assert (intake.records, intake.payload_bytes) == (3, 1536)


def test_payload_may_be_cut_anywhere() -> None:
    segment = segment_of(Write(0, 512, A), Write(0, 1024, B))
    whole = A + B
    pieces = intake_of(segment).take(
        segment.records, [whole[:100], whole[100:700], b"", whole[700:]]
    )
    assert [bytes(piece.data or b"") for piece in pieces] == [A, B]


@pytest.mark.parametrize(
    ("records", "payloads", "code"),
    [
        (b"", [], "malformed-segment"),
        (b"x" * RECORD_BYTES, [], "malformed-segment"),
        (data_record(3, 0, A), [A], "out-of-bounds"),
        (data_record(1, 4096, A), [A], "out-of-bounds"),
        (data_record(1, 3584, B), [B], "out-of-bounds"),
        (zero_record(0, 0, 8704), [], "out-of-bounds"),
        (zero_record(2, 512, 4096), [], "unaligned"),
        (zero_record(2, 0, 512), [], "unaligned"),
        (data_record(0, 0, A), [], "wrong-checksum"),
        (data_record(0, 0, A), [A, b"x"], "wrong-checksum"),
        (data_record(0, 0, A), [b"x" * 512], "wrong-checksum"),
        (zero_record(0, 0, 512)[:-16] + bytes(16), [], "wrong-checksum"),
        (data_record(0, 0, B) + data_record(0, 512, A), [B, A], "overlapping"),
        (data_record(0, 512, A) + data_record(0, 0, A), [A, A], "overlapping"),
        (zero_record(0, 0, 1024) + zero_record(0, 0, 1024), [], "overlapping"),
        (zero_record(0, 0, 512), [bytes(MAX_FRAME_PAYLOAD + 1)], "oversized"),
    ],
)
def test_a_wrong_batch_is_refused(records: bytes, payloads: list[bytes], code: str) -> None:
    error = refusal(records, payloads)
    assert error.code == code
    assert not error.is_diverged


def test_batches_ascend_on_each_disk() -> None:
    intake = intake_of(segment_of())
    intake.take(zero_record(0, 1024, 512) + zero_record(1, 0, 512), [])
    assert refusal(zero_record(0, 1024, 512), [], intake).code == "overlapping"
    assert refusal(zero_record(0, 0, 512), [], intake).code == "overlapping"
    mixed = zero_record(1, 512, 512) + zero_record(0, 1536, 512) + zero_record(1, 1024, 512)
    assert len(intake.take(mixed, [])) == 3


def test_a_refused_batch_does_not_move_the_order() -> None:
    intake = intake_of(segment_of())
    assert refusal(data_record(0, 1024, A), [b"x" * 512], intake).code == "wrong-checksum"
    intake.take(data_record(0, 512, A), [A])
    intake.take(data_record(0, 1024, A), [A])


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
