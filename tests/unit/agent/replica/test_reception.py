from dataclasses import replace
from pathlib import Path

import pytest

from agent.replica import reception as module
from agent.replica.history import Head
from tests.support.segments import (
    GENERATION,
    NOTHING,
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
    FIRST,
    SECOND,
    SIZE,
    Rig,
    rig_in,
)


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    return await rig_in(tmp_path)


async def test_a_segment_becomes_a_point_with_the_bytes_that_were_sent(rig: Rig) -> None:
    async with rig.conversing() as source:
        opened = await source.opened()
        assert (opened.sequence, opened.chain_digest, opened.durable_records) == (0, b"", 0)
        sealed = await source.send(FIRST)
        assert (sealed.generation, sealed.sequence) == (GENERATION, 1)
        assert sealed.chain_digest == FIRST.chain_digest
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
        await source.send(FIRST)
        reopened = rig.new_store()
        await reopened.open()
        head = reopened.get(PROTECTION).head
    assert (head.sequence, head.chain_digest) == (1, FIRST.chain_digest)


async def test_receipts_are_cumulative_and_come_before_the_seal(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECEIPT_BYTES", 100_000)
    async with rig.conversing() as source:
        await source.opened()
        await source.begin(FIRST)
        await source.batch(FIRST)
        receipt = (await source.answer()).receipt
        assert (receipt.received_records, receipt.received_bytes) == (2, 2 * 65536)
        assert receipt.durable_records == 0
        await source.end(FIRST)
        answers = [(await source.answer()).WhichOneof("message") for _ in range(2)]
    assert answers == ["receipt", "sealed"]


async def test_small_batches_are_not_receipted_one_by_one(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.begin(FIRST)
        await source.batch(FIRST)
        await source.end(FIRST)
        answers = [(await source.answer()).WhichOneof("message") for _ in range(2)]
    assert answers == ["receipt", "sealed"]


async def violated(rig: Rig, *steps: str) -> str:
    """Return the code that answers these steps after the conversation was opened."""
    async with rig.conversing() as source:
        await source.opened()
        for step in steps:
            match step:
                case "open":
                    await source.open()
                case "begin":
                    await source.begin(FIRST)
                case "batch":
                    await source.batch(FIRST)
                case "end":
                    await source.end(FIRST)
                case _:
                    await source.stream.send(b"\xff\xff\xff")
        return (await source.refusal()).failure.code


@pytest.mark.parametrize(
    "steps",
    [
        ("open",),
        ("batch",),
        ("end",),
        ("begin", "begin"),
        ("begin", "open"),
        ("begin", "batch", "end", "batch"),
        ("begin", "batch", "end", "end"),
        ("noise",),
        ("begin", "noise"),
    ],
)
async def test_messages_out_of_their_order_end_the_conversation(
    rig: Rig, steps: tuple[str, ...]
) -> None:
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
            build_segment(Head(GENERATION, 2, FIRST.chain_digest, 0), DISKS, []),
            "wrong-sequence",
            False,
        ),
        (FIRST, "wrong-sequence", False),
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
        await source.send(FIRST)
        await source.begin(segment)
        if segment.records:
            await source.batch(segment)
        await source.end(segment)
        refused = await source.refusal()
    assert (refused.failure.code, refused.is_diverged) == (code, is_diverged)
    head = rig.store.get(PROTECTION).head
    assert (head.sequence, head.chain_digest) == (1, FIRST.chain_digest)
    async with rig.conversing() as source:
        assert (await source.opened()).sequence == 1
        assert (await source.send(SECOND)).sequence == 2


async def test_an_unsealed_segment_leaves_nothing_when_the_conversation_ends(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.send(FIRST)
    before = rig.files()
    async with rig.conversing() as source:
        await source.opened()
        await source.begin(SECOND)
        await source.batch(SECOND)
    assert rig.files() == before


async def test_abandoning_is_answered_and_bars_the_attempt(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.begin(FIRST)
        await source.batch(FIRST)
        await source.abandon(1, 1)
        answer = (await source.answer()).abandoned
        assert (answer.sequence, answer.attempt_floor) == (1, 2)
        await source.begin(FIRST)
        assert (await source.refusal()).failure.code == "stale-attempt"
    async with rig.conversing() as source:
        assert (await source.opened()).attempt_floor == 2
        again = build_segment(NOTHING, DISKS, [Write(0, 0, DATA)], attempt=2)
        assert (await source.send(again)).sequence == 1
