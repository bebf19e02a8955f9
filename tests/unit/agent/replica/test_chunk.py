"""One chunk of a pass."""

from dataclasses import replace

import pytest

from agent.replica import chunk as module
from agent.replica.chunk import Chunk
from agent.replica.errors import ReplicaError
from agent.replica.pass_file import PassState
from tests.support.passes import PassSource
from tests.support.segments import NOTHING, Write, disks_of, pass_header

DISKS = disks_of(4096, 2048)
HEADER = pass_header(NOTHING, DISKS)
STATE = replace(PassState.begun(HEADER, is_seeded=False), watermarks=(1024, 0))
DATA = b"d" * 512


def source() -> PassSource:
    made = PassSource(DISKS)
    made.go_on(STATE)
    return made


def test_a_chunk_leads_to_the_next_state() -> None:
    sent = source().chunk(Write(0, 0, DATA), Write(0, 1024, 1024), Write(1, 0, DATA))
    chunk = Chunk(HEADER, STATE)
    pieces = chunk.take(sent.records, sent.payloads)
    assert [(piece.disk, piece.offset, piece.length) for piece in pieces] == [
        (0, 0, 512),
        (0, 1024, 1024),
        (1, 0, 512),
    ]
    state = chunk.finish(sent.watermarks, sent.digest)
    assert (state.chunk, state.digest, state.watermarks) == (1, sent.digest, (2048, 512))
    assert (state.records, state.payload_bytes) == (3, 1024)


def refusal(watermarks: tuple[int, ...], digest: bytes = bytes(32)) -> ReplicaError:
    sent = source().chunk(Write(0, 1024, DATA))
    chunk = Chunk(HEADER, STATE)
    chunk.take(sent.records, sent.payloads)
    with pytest.raises(ReplicaError) as error:
        chunk.finish(watermarks, digest)
    return error.value


@pytest.mark.parametrize(
    ("watermarks", "problem"),
    [
        ((2048,), "1 watermarks for 2 disks"),
        ((2048, 0, 0), "3 watermarks for 2 disks"),
        ((8192, 0), "behind its end"),
        ((2048, 2560), "behind its end"),
        ((512, 0), "goes back"),
        ((1024, 0), "behind its watermark"),
    ],
)
def test_watermarks_move_forward_over_what_was_sent(
    watermarks: tuple[int, ...], problem: str
) -> None:
    error = refusal(watermarks)
    assert error.code == "wrong-watermark"
    assert problem in error.cause


def test_the_digest_binds_the_chunk_to_those_before() -> None:
    assert refusal((2048, 0)).code == "wrong-digest"


def test_a_chunk_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHUNK_BYTES", 1024)
    sent = source().chunk(Write(0, 0, DATA), Write(0, 512, DATA), Write(0, 1024, DATA))
    chunk = Chunk(HEADER, STATE)
    chunk.take(sent.records[:96], sent.payloads[:2])
    with pytest.raises(ReplicaError) as error:
        chunk.take(sent.records[96:], sent.payloads[2:])
    assert error.value.code == "oversized"
