"""Segments that arrive in one conversation, or go on in the next."""

from pathlib import Path

import pytest

from agent.replica import segment_reception, writer
from agent.replica.deltas import Deltas
from replikera.blocks.segment import RECORD_BYTES, Codec
from tests.support.segments import PROTECTION, Segment, Write, build_segment
from tests.unit.agent.fakes import settle
from tests.unit.agent.replica.conversing import (
    AFTER_FIRST,
    DATA,
    DISKS,
    SECOND,
    SIZE,
    Rig,
    Source,
    rig_in,
)

LONG = build_segment(AFTER_FIRST, DISKS, [Write(0, number * 65536, DATA) for number in range(4)])


def part(segment: Segment, first: int, last: int) -> Segment:
    """Return a segment's records from one to another, all of them data."""
    return Segment(
        segment.header,
        segment.records[first * RECORD_BYTES : last * RECORD_BYTES],
        segment.payloads[first:last],
        segment.trailer,
        segment.chain_digest,
    )


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    rig = await rig_in(tmp_path)
    async with rig.conversing() as source:
        await source.opened()
        await source.send_first()
    return rig


async def sealed(source: Source) -> int:
    while (answer := await source.answer()).WhichOneof("message") == "receipt":
        pass
    return answer.sealed.sequence


async def test_receipts_are_cumulative_and_come_before_the_seal(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_reception, "RECEIPT_BYTES", 100_000)
    async with rig.conversing() as source:
        await source.opened()
        await source.begin(LONG)
        await source.batch(part(LONG, 0, 2))
        receipt = (await source.answer()).receipt
        assert (receipt.received_records, receipt.received_bytes) == (2, 2 * 65536)
        assert receipt.durable_records == 0
        await source.batch(part(LONG, 2, 4))
        assert (await source.answer()).receipt.received_records == 4
        await source.end(LONG)
        answers = [(await source.answer()).WhichOneof("message") for _ in range(2)]
    assert answers == ["receipt", "sealed"]


async def test_small_batches_are_not_receipted_one_by_one(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.begin(SECOND)
        await source.batch(SECOND)
        await source.end(SECOND)
        answers = [(await source.answer()).WhichOneof("message") for _ in range(2)]
    assert answers == ["receipt", "sealed"]


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_what_arrived_before_a_break_is_gone_on_with(rig: Rig, *, is_restarted: bool) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.begin(LONG)
        await source.batch(part(LONG, 0, 3))
        await settle()
    if is_restarted:
        rig.restart()
        await rig.store.open()
    async with rig.conversing() as source:
        opened = await source.opened()
        assert (opened.sequence, opened.open_attempt, opened.durable_records) == (1, 1, 3)
        await source.resume(1, 3)
        await source.batch(part(LONG, 3, 4))
        await source.end(LONG)
        receipt = (await source.answer()).receipt
        assert (receipt.received_records, receipt.received_bytes) == (4, 4 * 65536)
        assert await sealed(source) == 2
    assert (await rig.materialised(2))[: 4 * 65536] == DATA * 4


async def test_an_open_segment_gives_way_to_a_later_attempt(rig: Rig) -> None:
    later = build_segment(AFTER_FIRST, DISKS, [Write(0, 0, b"l" * 512)], attempt=2)
    async with rig.conversing() as source:
        await source.opened()
        await source.begin(LONG)
        await source.batch(part(LONG, 0, 1))
        # In the same conversation, too: the view of the first may have become too old.
        await source.begin(later)
        await source.batch(later)
        await source.end(later)
        assert await sealed(source) == 2
    assert (await rig.materialised(2))[:512] == b"l" * 512


@pytest.mark.parametrize(("attempt", "records"), [(1, 0), (1, 2), (1, 4), (2, 3)])
async def test_it_goes_on_behind_its_durable_records_only(
    rig: Rig, attempt: int, records: int
) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.begin(LONG)
        await source.batch(part(LONG, 0, 3))
    async with rig.conversing() as source:
        await source.opened()
        await source.resume(attempt, records)
        assert (await source.refusal()).failure.code == "stale-attempt"
    async with rig.conversing() as source:
        assert (await source.opened()).durable_records == 3


async def test_a_refused_batch_leaves_what_came_before_it(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.begin(LONG)
        await source.batch(part(LONG, 0, 2))
        await source.batch(part(LONG, 0, 1))
        assert (await source.refusal()).failure.code == "overlapping"
    async with rig.conversing() as source:
        assert (await source.opened()).durable_records == 2


async def test_a_segment_whose_end_is_refused_is_not_gone_on_with(rig: Rig) -> None:
    async with rig.conversing() as source:
        await source.opened()
        await source.begin(LONG)
        await source.batch(part(LONG, 0, 3))
        await source.end(LONG)
        assert (await source.refusal()).failure.code == "incomplete"
    async with rig.conversing() as source:
        opened = await source.opened()
        assert (opened.open_attempt, opened.durable_records) == (0, 0)
        assert (await source.send(LONG)).sequence == 2


async def test_records_are_durable_after_so_many_bytes(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SYNC_BYTES", 100_000)
    monkeypatch.setattr(segment_reception, "RECEIPT_BYTES", 1)
    async with rig.conversing() as source:
        await source.opened()
        await source.begin(LONG)
        await source.batch(part(LONG, 0, 1))
        await settle()
        await source.batch(part(LONG, 1, 2))
        await settle()
        await source.batch(part(LONG, 2, 3))
        receipts = [(await source.answer()).receipt for _ in range(3)]
    assert [receipt.durable_records for receipt in receipts] == [0, 0, 2]


async def test_records_are_durable_after_so_long_though_nothing_more_comes(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    sync = Deltas.sync

    def note(self: Deltas, attempt: object) -> None:
        sync(self, attempt)  # type: ignore[arg-type]  # passed on as it came
        synced.append(attempt.durable_records)  # type: ignore[attr-defined]  # an attempt

    monkeypatch.setattr(Deltas, "sync", note)
    async with rig.conversing() as source:
        await source.opened()
        await source.begin(LONG)
        await source.batch(part(LONG, 0, 1))
        await settle()
        await rig.clock.advance(writer.SYNC_SECONDS - 0.5)
        assert synced == []
        await rig.clock.advance(writer.SYNC_SECONDS)
        assert synced == [1]
        # Nothing is new: nothing is synced.
        await rig.clock.advance(10 * writer.SYNC_SECONDS)
        assert synced == [1]


async def test_a_sync_that_fails_refuses_what_comes_next(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SYNC_BYTES", 1)
    replica = rig.store.get(PROTECTION)

    def fail(_path: Path, _sync: object) -> None:
        raise fence_error

    fence = replica._lineage._storage.files.fence
    fence_error = OSError(5, "injected")
    async with rig.conversing() as source:
        await source.opened()
        await source.begin(LONG)
        guard = fence.guard
        monkeypatch.setattr(
            type(fence), "guard", lambda self, path, _sync: guard(path, lambda: fail(path, None))
        )
        await source.batch(part(LONG, 0, 1))
        await settle()
        await source.batch(part(LONG, 1, 2))
        assert (await source.refusal()).failure.code == "storage-failed"


async def test_compressed_records_are_kept_as_they_came_and_read_as_they_were(rig: Rig) -> None:
    text = b"the same again and again " * 3000
    plain = text[: len(text) // 512 * 512]
    writes = [Write(0, 0, plain), Write(0, 1 << 20, DATA)]
    packed = build_segment(AFTER_FIRST, DISKS, writes, codec=Codec.ZSTD)
    assert sum(map(len, packed.payloads)) < len(plain)
    async with rig.conversing() as source:
        await source.opened()
        assert (await source.send(packed)).sequence == 2
    redo = rig.folder / PROTECTION / "journal" / f"{2:020d}.redo"
    assert packed.payloads[0] in redo.read_bytes()
    found = await rig.materialised(2)
    assert found[: len(plain)] == plain
    assert len(found) == SIZE
