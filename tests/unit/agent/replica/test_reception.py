"""A conversation with the replica's own source: what it may say in which order, and what it is told."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.replica.history import Head
from replikera.wire.v1 import replication_pb2 as wire
from tests.support.passes import PassSource
from tests.support.segments import (
    GENERATION,
    PROTECTION,
    Segment,
    Write,
    build_segment,
    disks_of,
)
from tests.unit.agent.replica.conversing import (
    AFTER_FIRST,
    DATA,
    DISKS,
    FIRST_DIGEST,
    SECOND,
    SIZE,
    WRITES,
    Rig,
    Source,
    first_pass,
    rig_in,
)


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    return await rig_in(tmp_path)


async def test_a_pass_and_a_segment_become_points_with_the_bytes_that_were_sent(rig: Rig) -> None:
    async with rig.conversing() as source:
        opened = await source.opened()
        assert (opened.sequence, opened.chain_digest) == (0, b"")
        assert (opened.open_attempt, opened.durable_records) == (0, 0)
        sealed = await source.send_first()
        assert (sealed.generation, sealed.sequence) == (GENERATION, 1)
        assert sealed.chain_digest == FIRST_DIGEST
        assert sealed.sealed_at.ToDatetime().year == 2026
        assert (await source.send(SECOND)).sequence == 2

    expected = bytearray(SIZE)
    expected[:65536] = expected[1 << 20 : (1 << 20) + 65536] = DATA
    assert await rig.materialised(1) == bytes(expected)
    expected[4096:4608] = b"x" * 512
    expected[8192:12288] = bytes(4096)
    assert await rig.materialised(2) == bytes(expected)


async def test_what_is_sealed_was_durable_before_the_answer(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.send_first()
        reopened = rig.new_store()
        await reopened.open()
        head = reopened.get(PROTECTION).head
    assert (head.sequence, head.chain_digest) == (1, FIRST_DIGEST)


Step = Callable[[Source], Awaitable[None]]

CHUNK = first_pass().whole(*WRITES)
END = b"t", b"d" * 32
STEPS: dict[str, Step] = {
    "open": lambda source: source.open(),
    "begin": lambda source: source.begin(SECOND),
    "resume": lambda source: source.resume(1, 2),
    "batch": lambda source: source.batch(SECOND),
    "end": lambda source: source.end(SECOND),
    "pass": lambda source: source.begin_pass(first_pass()),
    "chunk": lambda source: source.begin_chunk(1),
    "chunk batch": lambda source: source.batch(CHUNK),
    "chunk end": lambda source: source.end_chunk(CHUNK),
    "pass end": lambda source: source.end_pass(*END),
    "question": lambda source: source.ask(0, (0, 0, 512)),
    "noise": lambda source: source.stream.send(b"\xff\xff\xff"),
}


async def violated(rig: Rig, *steps: str) -> str:
    """Return the code that answers these steps after the conversation was opened."""
    async with rig.conversing() as source:
        await source.opened()
        for step in steps:
            await STEPS[step](source)
        return (await source.refusal()).failure.code


@pytest.mark.parametrize(
    "steps",
    [
        ("open",),
        ("noise",),
        ("batch",),
        ("end",),
        ("chunk",),
        ("chunk end",),
        ("pass end",),
        ("question",),
        ("pass", "open"),
        ("pass", "noise"),
        ("pass", "begin"),
        ("pass", "resume"),
        ("pass", "end"),
        ("pass", "chunk batch"),
        ("pass", "chunk end"),
        ("pass", "chunk", "chunk"),
        ("pass", "chunk", "pass"),
        ("pass", "chunk", "pass end"),
        ("pass", "chunk", "chunk batch", "chunk end", "chunk end"),
        ("pass", "chunk", "chunk batch", "chunk end", "chunk batch"),
    ],
)
async def test_messages_out_of_their_order_before_the_first_point_end_the_conversation(
    rig: Rig, steps: tuple[str, ...]
) -> None:
    assert await violated(rig, *steps) == "protocol-violation"


@pytest.mark.parametrize(
    "steps",
    [
        ("batch",),
        ("end",),
        ("begin", "begin"),
        ("begin", "resume"),
        ("begin", "open"),
        ("begin", "noise"),
        ("begin", "pass"),
        ("begin", "chunk"),
        ("begin", "question"),
        ("begin", "batch", "end", "batch"),
        ("begin", "batch", "end", "end"),
    ],
)
async def test_messages_out_of_their_order_after_it_do_too(
    rig: Rig, steps: tuple[str, ...]
) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.send_first()
    assert await violated(rig, *steps) == "protocol-violation"


@pytest.mark.parametrize(
    ("segment", "code", "is_diverged"),
    [
        (
            build_segment(AFTER_FIRST, DISKS, [Write(0, SIZE, b"x" * 512)]),
            "out-of-bounds",
            False,
        ),
        (replace(SECOND, chain_digest=b"w" * 32), "wrong-digest", False),
        (
            build_segment(Head(GENERATION, 2, FIRST_DIGEST, 0), DISKS, []),
            "wrong-sequence",
            False,
        ),
        (build_segment(Head(GENERATION, 1, b"o" * 32, 0), DISKS, []), "diverged", True),
        (
            replace(SECOND, payloads=(b"y" * 512,)),
            "wrong-checksum",
            False,
        ),
        (build_segment(AFTER_FIRST, DISKS, [], epoch=2), "wrong-epoch", False),
        (
            build_segment(AFTER_FIRST, disks_of(SIZE, SIZE), []),
            "disks-changed",
            False,
        ),
        (replace(SECOND, header=b"h" * 600), "malformed-segment", False),
    ],
)
async def test_what_the_replica_refuses_is_answered_in_its_words_and_changes_nothing(
    rig: Rig, segment: Segment, code: str, is_diverged: bool
) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.send_first()
        await source.begin(segment)
        if segment.records:
            await source.batch(segment)
        await source.end(segment)
        refused = await source.refusal()
    assert (refused.failure.code, refused.is_diverged) == (code, is_diverged)
    head = rig.store.get(PROTECTION).head
    assert (head.sequence, head.chain_digest) == (1, FIRST_DIGEST)
    async with rig.conversing() as source:
        assert (await source.opened()).sequence == 1
        assert (await source.send(SECOND)).sequence == 2


async def test_the_first_point_does_not_come_as_a_segment(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.say(wire.ReplicateRequest(begin=wire.SegmentBegin(header=first_pass().header)))
        refused = await source.refusal()
    assert refused.failure.code == "wrong-kind"
    assert "as a pass" in refused.failure.cause
    assert rig.store.get(PROTECTION).head.sequence == 0


async def test_a_replayed_pass_changes_nothing_after_the_first_point(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.send_first()
        await source.begin_pass(first_pass(attempt=2))
        assert (await source.refusal()).failure.code == "wrong-sequence"
    assert rig.store.get(PROTECTION).head.chain_digest == FIRST_DIGEST


async def test_a_replayed_segment_changes_nothing(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.send_first()
        await source.send(SECOND)
        await source.begin(SECOND)
        assert (await source.refusal()).failure.code == "wrong-sequence"
    assert rig.store.get(PROTECTION).head.sequence == 2


async def test_abandoning_is_answered_and_bars_the_attempt(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.send_first()
        await source.begin(SECOND)
        await source.batch(SECOND)
        await source.abandon(2, 1)
        answer = (await source.answer()).abandoned
        assert (answer.sequence, answer.attempt_floor) == (2, 2)
        await source.begin(SECOND)
        assert (await source.refusal()).failure.code == "stale-attempt"
    async with rig.conversing() as source:
        opened = await source.opened()
        assert (opened.attempt_floor, opened.open_attempt) == (2, 0)
        again = build_segment(AFTER_FIRST, DISKS, [Write(0, 0, DATA)], attempt=2)
        assert (await source.send(again)).sequence == 2


async def test_abandoning_a_pass_removes_it(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        made = first_pass()
        await source.pass_opened(made)
        await source.chunk(made.whole(*WRITES))
        await source.answer()
        await source.abandon(1, 1)
        assert (await source.answer()).abandoned.attempt_floor == 2
        await source.begin_pass(first_pass())
        assert (await source.refusal()).failure.code == "stale-attempt"
    assert not any(path.parent.name.startswith("initial-") for path in rig.files())
    async with rig.conversing() as source:
        opened = await source.opened()
        assert (opened.attempt_floor, opened.open_attempt) == (2, 0)
        assert (await source.send_first(attempt=2)).sequence == 1


async def test_a_point_is_compared_by_digest(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.send_first()
        await source.ask(1, (0, 0, 65536), (0, 1 << 20, 65536), (0, 0, 512))
        answer = (await source.answer()).digests
    same, other, part = (answer.digests[n : n + 32] for n in (0, 32, 64))
    assert answer.sequence == 1
    assert same == other != part


@pytest.mark.parametrize(
    ("sequence", "asked", "code"),
    [(2, (0, 0, 512), "unknown-point"), (1, (0, SIZE, 512), "out-of-bounds")],
)
async def test_what_cannot_be_compared_is_refused(
    rig: Rig, sequence: int, asked: tuple[int, int, int], code: str
) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.send_first()
        await source.ask(sequence, asked)
        assert (await source.refusal()).failure.code == code


async def test_questions_are_answered_in_their_order(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.send_first()
        await source.send(SECOND)
        await source.ask(2, (0, 4096, 512))
        await source.ask(1, (0, 4096, 512))
        answers = [(await source.answer()).digests for _ in range(2)]
    assert [answer.sequence for answer in answers] == [2, 1]
    assert answers[0].digests != answers[1].digests


async def test_a_pass_of_other_disks_is_another_pass(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.pass_opened(first_pass())
        await source.begin_pass(PassSource(disks_of(SIZE, SIZE)))
        assert (await source.refusal()).failure.code == "stale-attempt"
