"""What is checked of a batch before a byte of it is written."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent.replica import batch_checks as module
from agent.replica.batch_checks import MAX_PLAIN_BYTES, BatchChecks
from agent.replica.errors import ReplicaError
from agent.replica.frames import MAX_FRAME_PAYLOAD
from replikera.blocks.segment import (
    MAX_RECORD_BYTES,
    RECORD_BYTES,
    Codec,
    compress,
    data_record,
    decode_header,
    zero_record,
)
from tests.support.segments import NOTHING, Segment, Write, build_segment, disks_of

DISKS = (*disks_of(8192, 4096), replace(disks_of(8192)[0], disk_id="4k", logical_sector_size=4096))
LARGE = disks_of(64 << 20)
A, B = b"a" * 512, b"b" * 1024


def segment_of(*writes: Write) -> Segment:
    return build_segment(NOTHING, DISKS, writes)


def checks() -> BatchChecks:
    return BatchChecks(decode_header(segment_of().header))


def refusal(
    records: bytes, payloads: Sequence[bytes], given: BatchChecks | None = None
) -> ReplicaError:
    given = given or checks()
    before = given.reached
    with pytest.raises(ReplicaError) as error:
        given.take(records, payloads)
    assert given.reached == before
    return error.value


def test_a_batch_becomes_pieces() -> None:
    segment = segment_of(Write(0, 512, A), Write(1, 0, 1024), Write(0, 1024, B))
    given = checks()
    pieces = given.take(segment.records, segment.payloads)
    found = [(piece.disk, piece.offset, piece.length, piece.data) for piece in pieces]
    assert found == [(0, 512, 512, A), (1, 0, 1024, None), (0, 1024, 1024, B)]
    assert given.reached == (2048, 1024, 0)


def test_payload_may_be_cut_anywhere() -> None:
    segment = segment_of(Write(0, 512, A), Write(0, 1024, B))
    whole = A + B
    pieces = checks().take(segment.records, [whole[:100], whole[100:700], b"", whole[700:]])
    assert [bytes(piece.data or b"") for piece in pieces] == [A, B]


@pytest.mark.parametrize("codec", [Codec.LZ4, Codec.ZSTD])
def test_compressed_records_become_plain_pieces(codec: Codec) -> None:
    segment = build_segment(NOTHING, DISKS, [Write(0, 0, B * 4), Write(1, 0, A)], codec=codec)
    assert sum(map(len, segment.payloads)) < 4096
    pieces = checks().take(segment.records, segment.payloads)
    assert [bytes(piece.data or b"") for piece in pieces] == [B * 4, A]


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
        (data_record(0, 0, A, Codec.LZ4, 8), [b"no block"], "wrong-checksum"),
        (data_record(0, 0, A, Codec.ZSTD, 8), [b"no frame"], "wrong-checksum"),
    ],
)
def test_a_wrong_batch_is_refused(records: bytes, payloads: list[bytes], code: str) -> None:
    error = refusal(records, payloads)
    assert error.code == code
    assert not error.is_diverged


@pytest.mark.parametrize("codec", [Codec.LZ4, Codec.ZSTD])
def test_what_unpacks_to_more_than_its_record_says_is_refused(codec: Codec) -> None:
    bomb = compress(codec, bytes(MAX_RECORD_BYTES))
    assert bomb is not None
    small = bytes(8192)
    error = refusal(data_record(0, 0, small, codec, len(bomb)), [bomb])
    assert error.code == "wrong-checksum"


def test_what_unpacks_to_more_than_memory_is_for_is_not_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = compress(Codec.ZSTD, bytes(MAX_RECORD_BYTES))
    assert packed is not None
    count = MAX_PLAIN_BYTES // MAX_RECORD_BYTES + 1
    records = [
        data_record(0, number * MAX_RECORD_BYTES, bytes(MAX_RECORD_BYTES), Codec.ZSTD, len(packed))
        for number in range(count)
    ]
    large = BatchChecks(decode_header(build_segment(NOTHING, LARGE, []).header))
    assert len(large.take(b"".join(records[:-1]), [packed] * (count - 1))) == count - 1
    monkeypatch.setattr(module, "verified_pieces", None)
    again = BatchChecks(decode_header(build_segment(NOTHING, LARGE, []).header))
    error = refusal(b"".join(records), [packed] * count, again)
    assert error.code == "oversized"
    assert "unpacks to" in error.cause


def test_batches_ascend_on_each_disk() -> None:
    given = checks()
    given.take(zero_record(0, 1024, 512) + zero_record(1, 0, 512), [])
    assert refusal(zero_record(0, 1024, 512), [], given).code == "overlapping"
    assert refusal(zero_record(0, 0, 512), [], given).code == "overlapping"
    mixed = zero_record(1, 512, 512) + zero_record(0, 1536, 512) + zero_record(1, 1024, 512)
    assert len(given.take(mixed, [])) == 3


def test_a_refused_batch_does_not_move_the_order() -> None:
    given = checks()
    assert refusal(data_record(0, 1024, A), [b"x" * 512], given).code == "wrong-checksum"
    given.take(data_record(0, 512, A), [A])
    given.take(data_record(0, 1024, A), [A])
