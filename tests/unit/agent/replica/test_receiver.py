import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from agent.replica import receiver as module
from agent.replica.history import Head
from agent.replica.receiver import Receiver
from agent.replica.store import ReplicaStore
from replikera.ports.streams import StreamClosedError
from replikera.system.files import SystemFiles
from replikera.wire.v1 import replication_pb2 as wire
from replikera.wire.v1 import types_pb2
from tests.support.memory_stream import MemoryStream, stream_pair
from tests.support.seeded_randomness import SeededRandomness
from tests.support.segments import (
    ACCEPTED,
    GENERATION,
    NOTHING,
    PROTECTION,
    Segment,
    Write,
    build_segment,
    disks_of,
)
from tests.support.virtual_clock import InlineWorker, VirtualClock

SIZE = 4 << 20
DISKS = disks_of(SIZE)
DATA = Random(1).randbytes(65536)
FIRST = build_segment(NOTHING, DISKS, [Write(0, 0, DATA), Write(0, 1 << 20, DATA)])
AFTER_FIRST = Head(GENERATION, 1, FIRST.chain_digest, 0)
SECOND = build_segment(AFTER_FIRST, DISKS, [Write(0, 4096, b"x" * 512), Write(0, 8192, 4096)])


class Source:
    """Speaks the source's end by hand."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream

    async def say(self, message: wire.ReplicateRequest) -> None:
        await self.stream.send(message.SerializeToString())

    async def answer(self) -> wire.ReplicateResponse:
        async with asyncio.timeout(10):
            return wire.ReplicateResponse.FromString(await self.stream.receive())

    async def refusal(self) -> wire.Refused:
        """Return the refusal, behind which the conversation is over."""
        while (answer := await self.answer()).WhichOneof("message") != "refused":
            pass
        with pytest.raises(StreamClosedError):
            await self.answer()
        return answer.refused

    async def open(
        self, protection_id: str = PROTECTION, number: int = 1, generation: str = GENERATION
    ) -> None:
        epoch = types_pb2.Epoch(number=number, generation=generation)
        opening = wire.OpenReplica(protection_id=protection_id, epoch=epoch)
        await self.say(wire.ReplicateRequest(open=opening))

    async def opened(self) -> wire.ReplicaOpened:
        await self.open()
        return (await self.answer()).opened

    async def begin(self, segment: Segment) -> None:
        await self.say(wire.ReplicateRequest(begin=wire.SegmentBegin(header=segment.header)))

    async def batch(self, segment: Segment) -> None:
        lengths = [len(payload) for payload in segment.payloads]
        manifest = wire.Batch(records=segment.records, payload_lengths=lengths)
        await self.say(wire.ReplicateRequest(batch=manifest))
        for payload in segment.payloads:
            await self.stream.send(payload)

    async def end(self, segment: Segment) -> None:
        ending = wire.SegmentEnd(trailer=segment.trailer, chain_digest=segment.chain_digest)
        await self.say(wire.ReplicateRequest(end=ending))

    async def send(self, segment: Segment) -> wire.Sealed:
        await self.begin(segment)
        await self.batch(segment)
        await self.end(segment)
        while (answer := await self.answer()).WhichOneof("message") == "receipt":
            pass
        return answer.sealed

    async def abandon(self, sequence: int, attempt: int) -> None:
        giving_up = wire.Abandon(generation=GENERATION, sequence=sequence, attempt=attempt)
        await self.say(wire.ReplicateRequest(abandon=giving_up))


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = VirtualClock()
        self.store = self.new_store()
        self.receiver = Receiver(self.store, self.clock)

    def new_store(self) -> ReplicaStore:
        return ReplicaStore(
            SystemFiles(), InlineWorker(), self.clock, SeededRandomness(1), self.folder
        )

    @asynccontextmanager
    async def conversing(self, peer: str = "host-a") -> AsyncIterator[Source]:
        near, far, link = stream_pair(peer)

        async def hold() -> None:
            try:
                await self.receiver.serve(far)
            finally:
                await link.close()

        async with asyncio.TaskGroup() as group:
            group.create_task(hold())
            try:
                yield Source(near)
            finally:
                await near.close()

    async def materialised(self, sequence: int) -> bytes:
        """Return the first disk of a point."""
        path = self.folder.parent / f"recovered-{sequence}.vhdx"
        await self.store.get(PROTECTION).materialise(sequence, lambda _disk: path)
        from replikera.vhdx import open_image

        with open_image(SystemFiles().open_read(path)) as image:
            return image.read(image.size, 0)


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "replicas")
    await rig.store.open()
    await rig.store.accept(ACCEPTED)
    return rig


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


async def test_a_reconnecting_source_is_told_the_last_durable_point(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.send(FIRST)
    async with rig.conversing() as source:
        opened = await source.opened()
    assert (opened.sequence, opened.chain_digest) == (1, FIRST.chain_digest)


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


@pytest.mark.parametrize(
    ("peer", "protection_id", "number", "generation", "code", "is_diverged"),
    [
        ("host-b", PROTECTION, 1, GENERATION, "foreign-source", False),
        ("host-a", GENERATION, 1, GENERATION, "unknown-protection", False),
        ("host-a", PROTECTION, 0, GENERATION, "stale-epoch", False),
        ("host-a", PROTECTION, 2, GENERATION, "unknown-epoch", False),
        ("host-a", PROTECTION, 1, PROTECTION, "foreign-generation", True),
    ],
)
async def test_who_may_not_write_the_replica_is_refused_with_a_remedy(
    rig: Rig,
    *,
    peer: str,
    protection_id: str,
    number: int,
    generation: str,
    code: str,
    is_diverged: bool,
) -> None:
    async with rig.conversing(peer) as source:
        await source.open(protection_id, number, generation)
        refused = await source.refusal()
    assert refused.failure.code == code
    assert protection_id in refused.failure.cause
    assert refused.failure.remedy
    assert refused.is_diverged is is_diverged


async def test_a_foreign_host_does_not_end_the_source_s_conversation(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        async with rig.conversing("host-b") as stranger:
            await stranger.open()
            await stranger.refusal()
        assert (await source.send(FIRST)).sequence == 1


async def test_a_newer_conversation_ends_the_older_one_first(rig: Rig) -> None:
    async with rig.conversing() as older:
        await older.opened()
        await older.begin(FIRST)
        async with rig.conversing() as newer:
            assert (await newer.opened()).sequence == 0
            with pytest.raises(StreamClosedError):
                await older.answer()
            assert (await newer.send(FIRST)).sequence == 1


async def test_of_many_conversations_at_once_one_is_left(rig: Rig) -> None:
    async with rig.conversing() as one, rig.conversing() as two, rig.conversing() as three:
        sources = [one, two, three]
        await one.opened()
        await two.open()
        await three.open()
        answers = await asyncio.gather(
            *(source.stream.receive() for source in sources), return_exceptions=True
        )
        assert isinstance(answers[0], StreamClosedError)
        living = [
            source
            for source, answer in zip(sources, answers, strict=True)
            if isinstance(answer, bytes)
        ]
        await living[-1].begin(FIRST)
        await living[-1].batch(FIRST)
        await living[-1].end(FIRST)
        sealed = [(await living[-1].answer()).WhichOneof("message") for _ in range(2)]
        assert sealed[-1] == "sealed"


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


async def test_a_conversation_that_does_not_begin_with_opening_is_refused(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.begin(FIRST)
        refused = await source.refusal()
    assert refused.failure.code == "protocol-violation"
    assert "host-a" in refused.failure.cause


async def test_a_host_that_says_nothing_leaves_nothing(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.stream.close()
    assert rig.store.get(PROTECTION).head.sequence == 0


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
    before = sorted(path for path in rig.folder.rglob("*") if path.is_file())
    async with rig.conversing() as source:
        await source.opened()
        await source.begin(SECOND)
        await source.batch(SECOND)
    assert sorted(path for path in rig.folder.rglob("*") if path.is_file()) == before


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


async def test_a_cancelled_conversation_removes_what_was_open(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECEIPT_BYTES", 1)
    near, far, _ = stream_pair("host-a")
    source = Source(near)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(rig.receiver.serve(far))
        await source.opened()
        await source.send(FIRST)
        before = sorted(path for path in rig.folder.rglob("*") if path.is_file())
        await source.begin(SECOND)
        await source.batch(SECOND)
        assert (await source.answer()).receipt.received_records == 2
        serving.cancel()
    assert sorted(path for path in rig.folder.rglob("*") if path.is_file()) == before
    async with rig.conversing() as after:
        assert (await after.opened()).sequence == 1
