from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.source.answers import (
    MAX_COMPARED_RANGES,
    AbandonedAttempts,
    Answer,
    AnswerError,
    DurableChunk,
    Opened,
    PassOpened,
    RangeDigests,
    Received,
    SealedPoint,
    parse_answer,
)
from agent.source.errors import RefusedError
from replikera.blocks.segment import MAX_DISK_BYTES, MAX_DISKS, NO_POINT
from replikera.wire.v1 import replication_pb2 as wire
from replikera.wire.v1 import types_pb2

D = b"d" * 32
HUGE = (1 << 62) + 1


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ({"opened": wire.ReplicaOpened(attempt_floor=3)}, Opened(0, NO_POINT, 3)),
        (
            {
                "opened": wire.ReplicaOpened(
                    sequence=4, chain_digest=D, attempt_floor=3, open_attempt=5, durable_records=6
                )
            },
            Opened(4, D, 3, 5, 6),
        ),
        (
            {
                "pass_opened": wire.PassOpened(
                    chunk=1,
                    digest=D,
                    watermarks=[5, 6],
                    records=7,
                    payload_bytes=8,
                    is_seeded=True,
                )
            },
            PassOpened(1, D, (5, 6), 7, 8, is_seeded=True),
        ),
        (
            {"sealed": wire.Sealed(generation="g", sequence=1, chain_digest=D)},
            SealedPoint("g", 1, D),
        ),
        ({"abandoned": wire.Abandoned(sequence=1, attempt_floor=2)}, AbandonedAttempts(1, 2)),
        ({"chunk_durable": wire.ChunkDurable(number=1, digest=D)}, DurableChunk(1, D)),
        ({"digests": wire.Digests(sequence=1, digests=D * 2)}, RangeDigests(1, (D, D))),
        (
            {"receipt": wire.Receipt(received_records=1, received_bytes=2, durable_records=1)},
            Received(1, 2, 1),
        ),
    ],
)
def test_what_a_target_says_is_understood(message: dict[str, object], answer: Answer) -> None:
    response = wire.ReplicateResponse(**message)  # type: ignore[arg-type]  # by name
    assert parse_answer(response.SerializeToString()) == answer


def test_a_refusal_is_told_in_its_own_words_but_not_at_any_length() -> None:
    failure = types_pb2.Failure(code="disk-full", cause="x" * 10_000, remedy="Free some.")
    refused = wire.Refused(failure=failure, is_diverged=True)
    answer = parse_answer(wire.ReplicateResponse(refused=refused).SerializeToString())
    assert isinstance(answer, RefusedError)
    assert answer.is_diverged
    assert (answer.failure.code, len(answer.failure.cause)) == ("disk-full", 4096)


@pytest.mark.parametrize(
    "message",
    [
        {"opened": wire.ReplicaOpened(sequence=1, chain_digest=b"short")},
        {"opened": wire.ReplicaOpened(sequence=HUGE, chain_digest=D)},
        {"opened": wire.ReplicaOpened(attempt_floor=HUGE)},
        {"opened": wire.ReplicaOpened(open_attempt=HUGE)},
        {"opened": wire.ReplicaOpened(durable_records=HUGE)},
        {"pass_opened": wire.PassOpened(digest=b"")},
        {"pass_opened": wire.PassOpened(digest=D, watermarks=[MAX_DISK_BYTES + 1])},
        {"pass_opened": wire.PassOpened(digest=D, watermarks=[0] * (MAX_DISKS + 1))},
        {"pass_opened": wire.PassOpened(digest=D, records=HUGE)},
        {"pass_opened": wire.PassOpened(digest=D, payload_bytes=HUGE)},
        {"sealed": wire.Sealed(chain_digest=b"short")},
        {"chunk_durable": wire.ChunkDurable(number=1)},
        {"digests": wire.Digests(digests=b"x" * 33)},
        {"digests": wire.Digests(digests=D * (MAX_COMPARED_RANGES + 1))},
        {"receipt": wire.Receipt(received_bytes=HUGE)},
        {"abandoned": wire.Abandoned(attempt_floor=HUGE)},
        {},
    ],
)
def test_what_no_target_says_is_refused(message: dict[str, object]) -> None:
    response = wire.ReplicateResponse(**message)  # type: ignore[arg-type]  # by name
    with pytest.raises(AnswerError):
        parse_answer(response.SerializeToString())


@given(st.binary(max_size=200))
def test_noise_is_refused_or_an_answer(message: bytes) -> None:
    with suppress(AnswerError):
        parse_answer(message)
