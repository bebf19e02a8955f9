from pathlib import Path
from random import Random

import pytest

from agent.source.answers import Opened
from agent.source.batching import BATCH_BYTES
from agent.source.capture import Capture
from agent.source.delta import DeltaTransfer
from agent.source.errors import ViewLimitError
from replikera.blocks.extents import Extents
from replikera.blocks.segment import SegmentHeader, SegmentKind
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import replication_pb2 as wire
from tests.support.fake_hypervisor import FakeViewDisk
from tests.support.fake_target import FakeTarget
from tests.support.memory_stream import Faults
from tests.support.source_parts import SourceParts
from tests.support.source_rig import GENERATION, PROTECTION

MIB = 1 << 20
SIZE = 12 * MIB
PREVIOUS = b"p" * 32
CONTENT = Random(1).randbytes(SIZE)


class Bench:
    """A target that holds point 1, full of zeros, and a segment of a disk of noise on its way to it."""

    def __init__(self, folder: Path) -> None:
        self.parts = SourceParts(folder, {"disk-a": SIZE})
        self.target: FakeTarget = self.parts.target
        self.target.sequence, self.target.digest = 1, PREVIOUS
        self.target.points[1] = {"disk-a": bytes(SIZE)}
        self.target.keeps_open = True
        self.digests: list[bytes] = []
        self.checks = 0

    async def delta(self) -> DeltaTransfer:
        self.parts.hypervisor.write("disk-a", 0, CONTENT)
        capture: Capture = await self.parts.views.take(())
        header = SegmentHeader(
            PROTECTION, 1, GENERATION, 2, 5, PREVIOUS, SegmentKind.DELTA, capture.geometries
        )
        todo = (Extents.whole(SIZE),)
        return DeltaTransfer(header, capture, todo, capture.machine, self.parts.lane)

    async def before_end(self, digest: bytes) -> None:
        self.digests.append(digest)

    async def check(self) -> None:
        self.checks += 1

    async def break_after(self, delta: DeltaTransfer, messages: int) -> Opened:
        """Send until the connection breaks; return what the target says next."""
        with pytest.raises(StreamClosedError):
            async with self.parts.conversing(Faults(cut_after=messages)) as (conversation, _):
                await delta.send(conversation, self.before_end, self.check)
        async with self.parts.conversing() as (_, opened):
            return opened


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_segment_reaches_the_target_and_its_digest_is_told_first(bench: Bench) -> None:
    delta = await bench.delta()
    async with bench.parts.conversing() as (conversation, _):
        sealed = await delta.send(conversation, bench.before_end, bench.check)
    assert bench.target.points[2] == {"disk-a": CONTENT}
    assert bench.digests == [sealed.digest]
    assert bench.checks == SIZE // BATCH_BYTES
    progress = bench.parts.lane.progress
    assert progress.done == progress.total == progress.sent == SIZE


async def test_a_broken_segment_goes_on_where_it_is_durable(bench: Bench) -> None:
    delta = await bench.delta()
    # opening, its answer, the beginning, two batches with their receipts, half of the third
    opened = await bench.break_after(delta, 3 + 2 * 6 + 2)
    assert opened.open_attempt == 5
    assert opened.durable_records == 4
    assert delta.can_resume(opened)
    assert isinstance(delta.capture.disks[0].reader, FakeViewDisk)
    reads = len(delta.capture.disks[0].reader.reads)

    # The fake told twice what it has: once to the one that broke.
    bench.target.lost_batches = 0
    async with bench.parts.conversing() as (conversation, again):
        sealed = await delta.resume(
            conversation, again.durable_records, bench.before_end, bench.check
        )
    assert bench.target.points[2] == {"disk-a": CONTENT}
    assert bench.digests == [sealed.digest]
    assert bench.target.segments[-1].resumed == [4]
    assert len(delta.capture.disks[0].reader.reads) - reads == (SIZE - 4 * MIB) // MIB
    assert bench.parts.lane.progress.done == SIZE
    assert bench.parts.lane.progress.sent == SIZE


async def test_after_the_trailer_may_have_left_only_the_very_same_goes_on(bench: Bench) -> None:
    delta = await bench.delta()
    bench.target.lost_batches = 0
    bench.target.answers["end"] = [wire.ReplicateResponse()]

    async def lose(digest: bytes) -> None:
        bench.digests.append(digest)
        raise StreamClosedError("gone")

    with pytest.raises(StreamClosedError):
        async with bench.parts.conversing() as (conversation, _):
            await delta.send(conversation, lose, bench.check)
    bench.target.answers.clear()
    records = bench.target.segments[-1].records
    assert not delta.can_resume(Opened(1, PREVIOUS, 0, 5, records - 4))
    assert delta.can_resume(Opened(1, PREVIOUS, 0, 5, records))
    async with bench.parts.conversing() as (conversation, opened):
        assert opened.durable_records == records
        sealed = await delta.resume(conversation, records, bench.before_end, bench.check)
    assert bench.digests == [sealed.digest] * 2
    assert bench.target.points[2] == {"disk-a": CONTENT}


@pytest.mark.parametrize(
    ("attempt", "records"), [(5, 0), (5, 3), (4, 4), (6, 4), (0, 0), (5, 1 << 40)]
)
async def test_another_attempt_or_no_checkpoint_begins_anew(
    bench: Bench, attempt: int, records: int
) -> None:
    delta = await bench.delta()
    await bench.break_after(delta, 3 + 2 * 6 + 2)
    assert not delta.can_resume(Opened(1, PREVIOUS, 0, attempt, records))


async def test_a_view_beyond_its_limits_ends_the_attempt(bench: Bench) -> None:
    delta = await bench.delta()

    async def check() -> None:
        raise ViewLimitError("view-1", "it is 3600 s old")

    with pytest.raises(ViewLimitError):
        async with bench.parts.conversing() as (conversation, _):
            await delta.send(conversation, bench.before_end, check)
    assert bench.digests == []


async def test_checkpoints_behind_what_is_durable_are_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.source.batching.BATCH_BYTES", MIB)
    monkeypatch.setattr("tests.support.fake_received.Segment.copy", lambda self: self)
    bench.target.lost_batches = 0
    delta = await bench.delta()
    async with bench.parts.conversing() as (conversation, _):
        await delta.send(conversation, bench.before_end, bench.check)
    assert len(delta._checkpoints) < SIZE // MIB


async def test_the_trailer_does_not_leave_when_its_digest_could_not_be_noted(
    bench: Bench,
) -> None:
    delta = await bench.delta()

    async def fail(_digest: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        async with bench.parts.conversing() as (conversation, _):
            await delta.send(conversation, fail, bench.check)
    assert not bench.target.segments[-1].is_sealed
