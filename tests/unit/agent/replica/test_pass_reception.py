"""The initial pass in one conversation, or in several."""

from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from agent.replica import pass_reception, seeds
from agent.replica.accepted import Seed
from tests.support.segments import ACCEPTED, PROTECTION, Chunk, Write
from tests.unit.agent.replica.conversing import (
    DATA,
    DISKS,
    FIRST_DIGEST,
    SIZE,
    WRITES,
    Rig,
    Source,
    first_pass,
    rig_in,
)

HALF = SIZE // 2


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    return await rig_in(tmp_path)


async def durable(source: Source) -> int:
    """Return the number of the chunk that is told next to be durable."""
    while (answer := await source.answer()).WhichOneof("message") == "receipt":
        pass
    assert answer.WhichOneof("message") == "chunk_durable"
    return answer.chunk_durable.number


async def test_a_pass_begins_with_nothing(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        opened = await source.pass_opened(first_pass())
    assert (opened.chunk, opened.digest, list(opened.watermarks)) == (0, bytes(32), [0])
    assert (opened.records, opened.payload_bytes, opened.is_seeded) == (0, 0, False)


async def test_a_chunk_that_is_told_durable_is(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        made = first_pass()
        await source.pass_opened(made)
        chunk = made.chunk(Write(0, 0, DATA), Write(0, len(DATA), HALF - len(DATA)))
        await source.chunk(chunk)
        answer = (await source.answer()).chunk_durable
        assert (answer.number, answer.digest) == (1, chunk.digest)
        reopened = rig.new_store()
        await reopened.open()
        arriving = await reopened.get(PROTECTION).arriving()
    assert (arriving.attempt, arriving.durable_records) == (1, 2)


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_pass_goes_on_behind_its_last_durable_chunk(
    rig: Rig, *, is_restarted: bool
) -> None:
    made = first_pass()
    async with rig.conversing() as source:
        await source.opened()
        await source.pass_opened(made)
        await source.chunk(made.chunk(Write(0, 0, DATA), Write(0, len(DATA), HALF - len(DATA))))
        assert await durable(source) == 1
        lost = made.chunk(Write(0, HALF, b"lost" * 1024))
        await source.begin_chunk(lost.number)
        await source.batch(lost)
    if is_restarted:
        rig.restart()
        await rig.store.open()
    async with rig.conversing() as source:
        opened = await source.opened()
        assert (opened.sequence, opened.open_attempt) == (0, 1)
        again = first_pass()
        state = await source.pass_opened(again)
        assert (state.chunk, list(state.watermarks)) == (1, [HALF])
        assert (state.records, state.payload_bytes) == (2, len(DATA))
        await source.chunk(again.chunk(Write(0, HALF, HALF)))
        assert await durable(source) == 2
        await source.end_pass(*again.end())
        assert (await source.answer()).sealed.sequence == 1
    assert await rig.materialised(1) == DATA + bytes(SIZE - len(DATA))


async def test_two_chunks_may_be_on_their_way(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        made = first_pass()
        await source.pass_opened(made)
        await source.chunk(made.chunk(Write(0, 0, HALF)))
        await source.chunk(made.chunk(Write(0, HALF, HALF)))
        assert [await durable(source), await durable(source)] == [1, 2]


async def test_a_later_chunk_may_go_back_and_may_be_empty(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        made = first_pass()
        await source.pass_opened(made)
        for chunk in (
            made.chunk(Write(0, 0, HALF)),
            made.chunk(Write(0, 512, b"n" * 512)),
            made.chunk(watermarks=[SIZE]),
        ):
            await source.chunk(chunk)
        assert [await durable(source) for _ in range(3)] == [1, 2, 3]
        await source.end_pass(*made.end())
        assert (await source.answer()).sealed.sequence == 1
    assert await rig.materialised(1) == bytes(512) + b"n" * 512 + bytes(SIZE - 1024)


async def test_receipts_count_this_conversation_only(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pass_reception, "RECEIPT_BYTES", 1)
    for _ in range(2):
        async with rig.conversing() as source:
            await source.opened()
            made = first_pass()
            await source.pass_opened(made)
            await source.chunk(made.chunk(Write(0, 0, DATA)))
            receipt = (await source.answer()).receipt
            assert (receipt.received_records, receipt.received_bytes) == (1, len(DATA))
            await durable(source)


GOOD = first_pass().chunk(Write(0, 0, DATA))


@pytest.mark.parametrize(
    ("chunk", "code"),
    [
        (replace(GOOD, number=2), "wrong-chunk"),
        (replace(GOOD, number=0), "wrong-chunk"),
        (replace(GOOD, digest=b"w" * 32), "wrong-digest"),
        (replace(GOOD, watermarks=(len(DATA) + 512,)), "wrong-digest"),
        (replace(GOOD, watermarks=(SIZE + 1,)), "wrong-watermark"),
        (replace(GOOD, watermarks=(len(DATA) - 512,)), "wrong-watermark"),
        (replace(GOOD, watermarks=(0, 0)), "wrong-watermark"),
        (replace(GOOD, payloads=(DATA[::-1],)), "wrong-checksum"),
        (first_pass().chunk(Write(0, SIZE, b"b" * 512)), "out-of-bounds"),
    ],
)
async def test_a_wrong_chunk_is_refused_and_the_pass_stays(
    rig: Rig, chunk: Chunk, code: str
) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.pass_opened(first_pass())
        await source.chunk(chunk)
        failure = (await source.refusal()).failure
        assert failure.code == code
        assert "pass 1" in failure.cause
    async with rig.conversing() as source:
        await source.opened()
        assert (await source.pass_opened(first_pass())).chunk == 0
        await source.chunk(GOOD)
        assert await durable(source) == 1


async def test_a_replayed_chunk_is_refused(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.pass_opened(first_pass())
        await source.chunk(GOOD)
        assert await durable(source) == 1
        await source.chunk(GOOD)
        assert (await source.refusal()).failure.code == "wrong-chunk"


async def test_watermarks_never_go_back(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        made = first_pass()
        await source.pass_opened(made)
        await source.chunk(made.chunk(Write(0, 0, HALF)))
        assert await durable(source) == 1
        await source.chunk(made.chunk(Write(0, 0, 512), watermarks=[512]))
        assert (await source.refusal()).failure.code == "wrong-watermark"


async def test_a_pass_that_does_not_cover_the_disks_is_no_point(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        made = first_pass()
        await source.pass_opened(made)
        await source.chunk(made.chunk(Write(0, 0, HALF)))
        await source.end_pass(*made.end())
        assert (await source.refusal()).failure.code == "incomplete"
    assert rig.store.get(PROTECTION).head.sequence == 0
    async with rig.conversing() as source:
        await source.opened()
        assert (await source.pass_opened(first_pass())).chunk == 1


@pytest.mark.parametrize("change", ["digest", "records", "trailer"])
async def test_a_wrong_end_is_refused_and_another_may_follow(rig: Rig, change: str) -> None:
    made = first_pass()
    async with rig.conversing() as source:
        await source.opened()
        await source.pass_opened(made)
        await source.chunk(made.whole(*WRITES))
        trailer, digest = made.end()
        if change == "digest":
            digest = bytes(32)
        elif change == "trailer":
            trailer = trailer[:-1]
        else:
            made.records += 1
            trailer, digest = made.end()
        await source.end_pass(trailer, digest)
        code = {"digest": "wrong-digest", "records": "incomplete", "trailer": "malformed-segment"}
        assert (await source.refusal()).failure.code == code[change]
    async with rig.conversing() as source:
        await source.opened()
        again = first_pass()
        await source.pass_opened(again)
        await source.end_pass(*again.end())
        assert (await source.answer()).sealed.chain_digest == FIRST_DIGEST


async def test_a_later_pass_begins_anew_and_the_older_one_is_gone(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        made = first_pass()
        await source.pass_opened(made)
        await source.chunk(made.whole(*WRITES))
        await durable(source)
        # One conversation may hold both: the disks may have changed meanwhile.
        assert (await source.pass_opened(first_pass(attempt=3))).chunk == 0
    names = {path.parent.name for path in rig.files()}
    assert "initial-3" in names
    assert "initial-1" not in names
    async with rig.conversing() as source:
        await source.opened()
        await source.begin_pass(first_pass(attempt=2))
        assert (await source.refusal()).failure.code == "stale-attempt"


async def test_the_base_is_compared_by_digest_while_it_is_filled(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        made = first_pass()
        await source.pass_opened(made)
        await source.chunk(made.chunk(Write(0, 0, DATA), Write(0, len(DATA), 65536)))
        await durable(source)
        await source.ask(0, (0, 0, len(DATA)), (0, len(DATA), 65536), (0, 512, 100_000))
        found = (await source.answer()).digests
    everything = DATA + bytes(SIZE)
    expected = [DATA, bytes(65536), everything[512:100_512]]
    assert found.sequence == 0
    assert found.digests == b"".join(blake3(part).digest() for part in expected)


async def test_what_is_outside_the_disks_is_not_compared(rig: Rig) -> None:
    for asked in ((1, 0, 512), (0, SIZE - 512, 1024)):
        async with rig.conversing() as source:
            await source.opened()
            await source.pass_opened(first_pass())
            await source.ask(0, asked)
            assert (await source.refusal()).failure.code == "out-of-bounds"


async def seeded_rig(tmp_path: Path, content: bytes | None) -> Rig:
    folder = tmp_path / "seeds"
    folder.mkdir()
    if content is not None:
        (folder / "mail.raw").write_bytes(content)
    seed = Seed(DISKS[0].name, "mail.raw")
    return await rig_in(tmp_path, replace(ACCEPTED, seeds=(seed,)))


async def test_a_seed_is_there_before_anything_is_sent(tmp_path: Path) -> None:
    rig = await seeded_rig(tmp_path, DATA + b"s" * 65536)
    async with rig.conversing() as source:
        await source.opened()
        assert (await source.pass_opened(first_pass())).is_seeded
        await source.ask(0, (0, 0, len(DATA)), (0, len(DATA), 65536))
        found = (await source.answer()).digests.digests
        assert found == blake3(DATA).digest() + blake3(b"s" * 65536).digest()
        made = first_pass()
        # The beginning is equal: what differs, and all that the seed does not have, is sent.
        await source.chunk(made.chunk(Write(0, len(DATA), SIZE - len(DATA))))
        await durable(source)
        await source.end_pass(*made.end())
        assert (await source.answer()).sealed.sequence == 1
    assert await rig.materialised(1) == DATA + bytes(SIZE - len(DATA))


async def test_a_seed_that_is_missing_is_waited_for(tmp_path: Path) -> None:
    rig = await seeded_rig(tmp_path, None)
    async with rig.conversing() as source:
        await source.opened()
        await source.begin_pass(first_pass())
        failure = (await source.refusal()).failure
    assert failure.code == "seed-missing"
    assert str(tmp_path / "seeds" / "mail.raw") in failure.cause
    (tmp_path / "seeds" / "mail.raw").write_bytes(DATA)
    async with rig.conversing() as source:
        await source.opened()
        assert (await source.pass_opened(first_pass())).is_seeded


async def test_a_long_copy_of_a_seed_is_told_of_and_goes_on_after_a_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeds, "COPY_BYTES", 65536)
    monkeypatch.setattr(pass_reception, "SIGN_SECONDS", 0.0)
    rig = await seeded_rig(tmp_path, DATA * 3)
    async with rig.conversing() as source:
        await source.opened()
        await source.begin_pass(first_pass())
        receipt = (await source.answer()).receipt
        assert (receipt.received_records, receipt.received_bytes) == (0, 0)
    async with rig.conversing() as source:
        await source.opened()
        await source.begin_pass(first_pass())
        answers = [await source.answer()]
        while answers[-1].WhichOneof("message") == "receipt":
            answers.append(await source.answer())
        assert answers[-1].pass_opened.is_seeded
        assert len(answers) < 4
        await source.ask(0, (0, 0, 3 * len(DATA)))
        assert (await source.answer()).digests.digests == blake3(DATA * 3).digest()
