from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from agent.source.capture import Capture
from agent.source.chunks import ChunkStream
from agent.source.conversation import Conversation
from agent.source.coverage import Coverage
from replikera.blocks.extents import Extents
from replikera.blocks.segment import NO_POINT
from replikera.wire.v1 import replication_pb2 as wire
from tests.support.memory_stream import Direction, Faults
from tests.support.source_parts import SourceParts

MIB = 1 << 20
SIZES = {"disk-a": 12 * MIB, "disk-b": 2 * MIB}


class Bench(SourceParts):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SIZES)
        self.hypervisor.write("disk-a", 0, Random(1).randbytes(9 * MIB))
        self.hypervisor.write("disk-b", MIB, Random(2).randbytes(MIB))
        self.persisted: list[tuple[int, bytes, Coverage]] = []
        self.is_over: Callable[[], bool] = lambda: False

    async def persist(self, number: int, digest: bytes, coverage: Coverage) -> None:
        assert self.target.base is not None
        assert self.target.base.chunk >= number
        self.persisted.append((number, digest, coverage))

    async def over(self) -> bool:
        return self.is_over()

    async def stream(self, conversation: Conversation, capture: Capture) -> ChunkStream:
        header = self.protection.header(1, 1, NO_POINT, capture.geometries)
        opened = await conversation.begin_pass(header.encode())
        return ChunkStream(conversation, header, opened, self.lane, self.persist)

    def base_disks(self) -> dict[str, bytes]:
        assert self.target.base is not None
        names = [disk.disk_id for disk in self.target.base.header.disks]
        return dict(zip(names, map(bytes, self.target.base.disks), strict=True))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(params=["bytes", "scanned", "seconds", "none"])
def bound(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Bring one of the three bounds of a chunk down to a batch."""
    name = str(request.param)
    if name == "bytes":
        monkeypatch.setattr("agent.source.chunks.CHUNK_PAYLOAD_BYTES", 1)
    elif name == "scanned":
        monkeypatch.setattr("agent.source.chunks.CHUNK_SCANNED_BYTES", 1)
    elif name == "seconds":
        monkeypatch.setattr("agent.source.chunks.CHUNK_SECONDS", 0.0)
    return name


async def test_everything_arrives_and_is_explicit(bench: Bench, bound: str) -> None:
    capture = await bench.views.take(())
    coverage = Coverage.nothing_sent(capture.geometries)
    async with bench.conversing() as (conversation, _):
        chunks = await bench.stream(conversation, capture)
        assert await chunks.send(capture, coverage, bench.over)
    # Rubbish was there before: what is zero here had to be said.
    assert bench.base_disks() == {
        name: bytes(disk) for name, disk in bench.hypervisor.disks.items()
    }
    base = bench.target.base
    assert base is not None
    assert (base.records, base.payload_bytes) == (chunks.records, chunks.payload_bytes)
    assert base.watermarks == tuple(SIZES.values())
    assert chunks.is_covered
    assert len(base.chunk_bytes) == (1 if bound == "none" else 3)
    assert [number for number, _, _ in bench.persisted] == list(range(1, len(base.chunk_bytes) + 1))
    assert bench.persisted[-1][1] == base.digest == chunks.digest
    assert bench.persisted[-1][2].is_complete


async def test_what_is_durable_is_forgotten_and_no_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.source.chunks.CHUNK_PAYLOAD_BYTES", 1)
    capture = await bench.views.take(())
    coverage = Coverage.nothing_sent(capture.geometries)
    async with bench.conversing() as (conversation, _):
        chunks = await bench.stream(conversation, capture)
        await chunks.send(capture, coverage, bench.over)
    left = [coverage.pending for _, _, coverage in bench.persisted]
    assert [sum(each.total() for each in pending) for pending in left] == [10 * MIB, 6 * MIB, 0]
    assert left[0][0] == Extents.of([(4 * MIB, 8 * MIB)])


async def test_two_chunks_are_on_their_way_at_most(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.source.chunks.CHUNK_PAYLOAD_BYTES", 1)
    monkeypatch.setattr("agent.source.batching.BATCH_BYTES", MIB)
    events: list[int] = []

    def note(direction: Direction, message: bytes) -> list[bytes]:
        if direction is Direction.TO_TARGET and len(message) < 1000:
            if wire.ReplicateRequest.FromString(message).WhichOneof("message") == "chunk_begin":
                events.append(1)
        elif direction is Direction.TO_SOURCE:
            response = wire.ReplicateResponse.FromString(message)
            if response.WhichOneof("message") == "chunk_durable":
                events.append(-1)
        return [message]

    capture = await bench.views.take(())
    async with bench.conversing(Faults(tamper=note)) as (conversation, _):
        chunks = await bench.stream(conversation, capture)
        await chunks.send(capture, Coverage.nothing_sent(capture.geometries), bench.over)
    ahead = [sum(events[: place + 1]) for place in range(len(events))]
    assert max(ahead) <= 2
    assert ahead[-1] == 0
    assert len(bench.persisted) >= 10


async def test_a_view_that_must_be_left_is_left_with_all_of_it_durable(bench: Bench) -> None:
    capture = await bench.views.take(())
    bench.is_over = lambda: True
    async with bench.conversing() as (conversation, _):
        chunks = await bench.stream(conversation, capture)
        coverage = Coverage.nothing_sent(capture.geometries)
        assert not await chunks.send(capture, coverage, bench.over)
        assert len(bench.persisted) == 1
        assert not chunks.is_covered
        bench.is_over = lambda: False
        assert await chunks.send(capture, bench.persisted[-1][2], bench.over)
    assert bench.base_disks() == {
        name: bytes(disk) for name, disk in bench.hypervisor.disks.items()
    }


async def test_watermarks_never_fall(bench: Bench) -> None:
    capture = await bench.views.take(())
    everything = Coverage.nothing_sent(capture.geometries)
    async with bench.conversing() as (conversation, _):
        chunks = await bench.stream(conversation, capture)
        await chunks.send(capture, everything, bench.over)
        # The target asserts it: what is sent again is below them.
        await chunks.send(capture, everything, bench.over)
    assert [number for number, _, _ in bench.persisted] == [1, 2]


async def test_a_chunk_without_records_tells_that_nothing_is_left(bench: Bench) -> None:
    capture = await bench.views.take(())
    done = Coverage.nothing_sent(capture.geometries).sent(
        tuple(Extents.whole(size) for size in SIZES.values())
    )
    async with bench.conversing() as (conversation, _):
        chunks = await bench.stream(conversation, capture)
        before = chunks.is_covered
        await chunks.tell_watermarks(done)
        assert (before, chunks.is_covered) == (False, True)
    assert bench.target.base is not None
    assert (bench.target.base.chunk, bench.target.base.records) == (1, 0)


async def test_a_chunk_that_cannot_be_noted_ends_the_transfer(bench: Bench) -> None:
    capture = await bench.views.take(())

    async def fail(_number: int, _digest: bytes, _coverage: Coverage) -> None:
        raise OSError(28, "No space left on device")

    bench.persist = fail  # type: ignore[method-assign,assignment]  # the disk of the state is full
    with pytest.raises(OSError, match="No space"):
        async with bench.conversing() as (conversation, _):
            chunks = await bench.stream(conversation, capture)
            coverage = Coverage.nothing_sent(capture.geometries)
            await chunks.send(capture, coverage, bench.over)
