import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from agent.replica import incoming as incoming_module
from agent.replica import replies as replies_module
from agent.replica import segment_reception
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import replication_pb2 as wire
from tests.support.memory_stream import Direction, stream_pair
from tests.support.segments import GENERATION, PROTECTION
from tests.unit.agent.fakes import settle
from tests.unit.agent.replica.conversing import (
    DATA,
    FIRST_DIGEST,
    OFFICE,
    SECOND,
    WRITES,
    Rig,
    Source,
    first_pass,
    rig_in,
)

SECOND_LONG = timedelta(seconds=1)


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    return await rig_in(tmp_path)


async def test_a_reconnecting_source_is_told_the_last_durable_point(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.send_first()
    async with rig.conversing() as source:
        opened = await source.opened()
    assert (opened.sequence, opened.chain_digest) == (1, FIRST_DIGEST)


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
        assert (await source.send_first()).sequence == 1


async def test_a_newer_conversation_ends_the_older_one_first(rig: Rig) -> None:
    async with rig.conversing() as older:
        await older.opened()
        await older.begin_pass(first_pass())
        assert (await older.answer()).pass_opened.chunk == 0
        async with rig.conversing() as newer:
            assert (await newer.opened()).sequence == 0
            with pytest.raises(StreamClosedError):
                await older.answer()
            assert (await newer.send_first()).sequence == 1


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
        assert (await living[-1].send_first()).sequence == 1


async def test_a_conversation_that_does_not_begin_with_opening_is_refused(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.begin(SECOND)
        refused = await source.refusal()
    assert refused.failure.code == "protocol-violation"
    assert "host-a" in refused.failure.cause


async def test_a_host_that_says_nothing_leaves_nothing(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.stream.close()
    assert rig.store.get(PROTECTION).head.sequence == 0


async def test_a_cancelled_conversation_leaves_what_was_open_durable(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_reception, "RECEIPT_BYTES", 1)
    near, far, _ = stream_pair("host-a")
    source = Source(near)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(rig.receiver.serve(far))
        await source.opened()
        await source.send_first()
        await source.begin(SECOND)
        await source.batch(SECOND)
        assert (await source.answer()).receipt.received_records == 2
        serving.cancel()
    async with rig.conversing() as after:
        opened = await after.opened()
        assert (opened.sequence, opened.open_attempt, opened.durable_records) == (1, 1, 2)


async def test_a_host_that_says_nothing_is_not_waited_for(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming_module, "OPENING_SECONDS", 0.01)
    async with rig.conversing() as source:
        with pytest.raises(StreamClosedError):
            await source.answer()


async def test_a_host_that_stops_inside_a_batch_is_not_waited_for(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming_module, "PAYLOAD_SECONDS", 0.01)
    async with rig.conversing() as source:
        await source.opened()
        await source.send_first()
        await source.begin(SECOND)
        manifest = wire.Batch(records=SECOND.records, payload_lengths=[512])
        await source.say(wire.ReplicateRequest(batch=manifest))
        with pytest.raises(StreamClosedError):
            await source.answer()
    async with rig.conversing() as source:
        opened = await source.opened()
        assert (opened.open_attempt, opened.durable_records) == (1, 0)


async def test_a_host_that_does_not_read_is_not_waited_for(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies_module, "ANSWER_SECONDS", 0.01)
    near, far, link = stream_pair("host-a")
    source = Source(near)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(rig.receiver.serve(far))
        await source.opened()
        await source.pass_opened(first_pass())
        for _ in range(14):
            await source.ask(0, (0, 0, 512))
        async with asyncio.timeout(10):
            await serving
    await link.close()
    async with rig.conversing() as after:
        assert (await after.opened()).open_attempt == 1


async def test_nothing_is_read_of_a_host_before_it_is_admitted(rig: Rig) -> None:
    near, far, link = stream_pair("host-b")
    source = Source(near)
    await source.open()
    await source.begin(SECOND)
    await source.batch(SECOND)
    unread = list(link.pipes[Direction.TO_TARGET]._messages)[1:]
    await rig.receiver.serve(far)
    assert (await source.answer()).refused.failure.code == "foreign-source"
    assert list(link.pipes[Direction.TO_TARGET]._messages) == unread


async def refused_grant(rig: Rig, grant: bytes) -> str:
    async with rig.conversing() as source:
        await source.open(grant=grant)
        failure = (await source.refusal()).failure
    assert PROTECTION in failure.cause
    assert failure.remedy
    return failure.code


async def test_grant_decides_who_is_let_in(rig: Rig) -> None:
    now = rig.clock.now()
    assert await refused_grant(rig, b"") == "grant-missing"
    assert await refused_grant(rig, b"noise") == "grant-invalid"
    assert await refused_grant(rig, OFFICE.grant(target_host_id="x")) == "grant-invalid"
    assert await refused_grant(rig, OFFICE.grant(not_after=now)) == "grant-expired"
    assert await refused_grant(rig, OFFICE.grant(not_before=now + SECOND_LONG)) == "grant-invalid"
    assert rig.store.get(PROTECTION).grant_version == 0
    async with rig.conversing() as source:
        await source.opened(OFFICE.grant(version=2))
    assert await refused_grant(rig, OFFICE.grant(version=1)) == "grant-superseded"
    assert rig.store.get(PROTECTION).grant_version == 2
    async with rig.conversing() as source:
        assert (await source.opened(OFFICE.grant(version=2))).sequence == 0


async def test_version_that_was_seen_is_durable_before_the_grant_is_used(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened(OFFICE.grant(version=7))
        reopened = rig.new_store()
        await reopened.open()
        assert reopened.get(PROTECTION).grant_version == 7


async def test_conversation_ends_with_its_grant(rig: Rig) -> None:
    grant = OFFICE.grant(not_after=rig.clock.now() + timedelta(seconds=100))
    async with rig.conversing() as source:
        await source.opened(grant)
        await source.send_first()
        await source.begin(SECOND)
        await source.batch(SECOND)
        await rig.clock.advance(99)
        await source.nothing_more()
        await rig.clock.advance(1)
        assert (await source.refusal()).failure.code == "grant-expired"
    head = rig.store.get(PROTECTION).head
    assert (head.sequence, head.chain_digest) == (1, FIRST_DIGEST)


async def test_nothing_is_sealed_after_the_end_of_the_grant_however_late_that_is_noticed(
    rig: Rig,
) -> None:
    grant = OFFICE.grant(not_after=rig.clock.now() + timedelta(seconds=100))
    async with rig.conversing() as source:
        await source.opened(grant)
        made = first_pass()
        await source.pass_opened(made)
        await source.chunk(made.whole(*WRITES))
        await source.answer()
        # The wall clock is set forward: who sleeps does not notice.
        rig.clock.elapsed += 101
        await source.end_pass(*made.end())
        assert (await source.refusal()).failure.code == "grant-expired"
    assert rig.store.get(PROTECTION).head.sequence == 0


@pytest.mark.parametrize("question", ["chunk", "digests"])
async def test_nothing_is_told_or_taken_after_the_end_of_the_grant(rig: Rig, question: str) -> None:
    grant = OFFICE.grant(not_after=rig.clock.now() + timedelta(seconds=100))
    async with rig.conversing() as source:
        await source.opened(grant)
        await source.pass_opened(first_pass())
        rig.clock.elapsed += 101
        if question == "chunk":
            await source.begin_chunk(1)
        else:
            await source.ask(0, (0, 0, 512))
        assert (await source.refusal()).failure.code == "grant-expired"


async def test_newer_grant_lets_the_conversation_go_on(rig: Rig) -> None:
    now = rig.clock.now()
    async with rig.conversing() as source:
        await source.opened(OFFICE.grant(not_after=now + timedelta(seconds=100)))
        await source.send_first()
        await source.begin(SECOND)
        await source.present(OFFICE.grant(version=2, not_after=now + timedelta(seconds=300)))
        await settle()
        await rig.clock.advance(200)
        await source.batch(SECOND)
        await source.end(SECOND)
        answers = [(await source.answer()).WhichOneof("message") for _ in range(2)]
        assert answers == ["receipt", "sealed"]
        await rig.clock.advance(100)
        assert (await source.refusal()).failure.code == "grant-expired"
    assert rig.store.get(PROTECTION).grant_version == 2


@pytest.mark.parametrize(
    ("grant", "code"),
    [
        (b"noise", "grant-invalid"),
        (OFFICE.grant(version=2, epoch=2), "grant-invalid"),
        (OFFICE.grant(version=2), "grant-superseded"),
        (b"x" * 40_000, "protocol-violation"),
    ],
)
async def test_wrong_grant_that_is_presented_ends_the_conversation(
    rig: Rig, grant: bytes, code: str
) -> None:
    async with rig.conversing() as source:
        await source.opened(OFFICE.grant(version=3))
        await source.present(grant)
        assert (await source.refusal()).failure.code == code
    assert rig.store.get(PROTECTION).grant_version == 3


async def test_damaged_grant_file_stops_the_source_and_no_failover(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.send_first()
    path = rig.folder / PROTECTION / "grant.json"
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":0'))
    rig.restart()
    await rig.store.open()
    async with rig.conversing() as source:
        await source.open()
        failure = (await source.refusal()).failure
    assert (failure.code, str(path) in failure.cause) == ("replica-damaged", True)
    assert "Remove the file" in failure.remedy
    assert (await rig.materialised(1))[:65536] == DATA
    path.unlink()
    rig.restart()
    await rig.store.open()
    async with rig.conversing() as source:
        assert (await source.opened()).sequence == 1
