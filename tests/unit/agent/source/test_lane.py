import asyncio
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from typing_extensions import override

from agent.hypervisor.interface import HypervisorError
from agent.source.assignment import Compression, ThrottleWindow
from agent.source.batching import (
    BATCH_BYTES,
    READ_AHEAD_BATCHES,
    SMALL_BATCH_BYTES,
    Batch,
    CapturedDisk,
)
from agent.source.host import READ_AHEAD_BYTES
from replikera.blocks.extents import Extents
from replikera.blocks.segment import Codec, DiskGeometry, parse_records
from tests.support.fake_hypervisor import FakeViewDisk
from tests.support.source_parts import SourceParts

MIB = 1 << 20


def disk_of(content: bytes) -> CapturedDisk:
    extents = Extents.whole(len(content))
    geometry = DiskGeometry("disk-a", "a.vhdx", len(content), 512)
    return CapturedDisk(0, geometry, FakeViewDisk(content, extents), extents)


@pytest.fixture
def parts(tmp_path: Path) -> SourceParts:
    return SourceParts(tmp_path)


class Taker:
    """Takes batches; stops after some."""

    def __init__(self, most: int = 1000) -> None:
        self.batches: list[Batch] = []
        self.most = most

    async def take(self, batch: Batch) -> bool:
        self.batches.append(batch)
        await asyncio.sleep(0)
        return len(self.batches) < self.most


async def test_batches_arrive_in_order_and_are_counted(parts: SourceParts) -> None:
    disk = disk_of(Random(1).randbytes(9 * MIB))
    taker = Taker()
    parts.lane.progress.begin(9 * MIB)
    assert await parts.lane.carry([disk], [disk.allocated], taker.take)
    assert [batch.scanned_bytes for batch in taker.batches] == [BATCH_BYTES, BATCH_BYTES, MIB]
    assert [batch.end for batch in taker.batches] == sorted(batch.end for batch in taker.batches)
    progress = parts.lane.progress
    assert (progress.done, progress.sent, parts.moved) == (9 * MIB, 9 * MIB, 3)
    assert parts.host.budget.free == READ_AHEAD_BYTES


async def test_among_many_streams_batches_are_small(parts: SourceParts) -> None:
    disk = disk_of(Random(1).randbytes(3 * MIB))
    taker = Taker()
    with ExitStack() as others:
        for _ in range(4):
            others.enter_context(parts.host.budget.share())
        assert await parts.lane.carry([disk], [disk.allocated], taker.take)
    assert [batch.scanned_bytes for batch in taker.batches] == [SMALL_BATCH_BYTES, MIB]


async def test_who_stops_gets_no_more_and_nothing_is_held(parts: SourceParts) -> None:
    disk = disk_of(Random(1).randbytes(40 * MIB))
    taker = Taker(2)
    assert not await parts.lane.carry([disk], [disk.allocated], taker.take)
    assert len(taker.batches) == 2
    assert parts.host.budget.free == READ_AHEAD_BYTES


async def test_reading_stays_a_few_batches_ahead(parts: SourceParts) -> None:
    disk = disk_of(Random(3).randbytes(64 * MIB))
    stuck = asyncio.Event()

    async def never(_batch: Batch) -> bool:
        await stuck.wait()
        return True

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await parts.lane.carry([disk], [disk.allocated], never)
    assert isinstance(disk.reader, FakeViewDisk)
    assert len(disk.reader.reads) * MIB <= (READ_AHEAD_BATCHES + 1) * BATCH_BYTES
    assert parts.host.budget.free == READ_AHEAD_BYTES


async def test_a_disk_that_fails_ends_it_with_its_error(parts: SourceParts) -> None:
    disk = disk_of(bytes(MIB))
    disk.reader.close()
    with pytest.raises(HypervisorError):
        await parts.lane.carry([disk], [disk.allocated], Taker().take)
    assert parts.host.budget.free == READ_AHEAD_BYTES


async def test_a_delivery_that_fails_ends_it_with_its_error(parts: SourceParts) -> None:
    disk = disk_of(bytes(MIB))

    async def fail(_batch: Batch) -> bool:
        raise OSError(28, "full")

    with pytest.raises(OSError, match="full"):
        await parts.lane.carry([disk], [disk.allocated], fail)
    assert parts.host.budget.free == READ_AHEAD_BYTES


async def test_the_codec_is_the_one_ordered_at_that_moment(parts: SourceParts) -> None:
    disk = disk_of(b"some text " * (40 * MIB // 10))
    await parts.settings(compression=Compression.ZSTD)
    codecs: list[Codec] = []

    async def take(batch: Batch) -> bool:
        codecs.extend(Codec(int(record["codec"])) for record in parse_records(batch.records))
        await parts.settings(compression=Compression.OFF)
        return True

    await parts.lane.carry([disk], [disk.allocated], take)
    assert codecs[0] is Codec.ZSTD
    assert codecs[-1] is Codec.NONE


async def test_what_leaves_is_throttled_as_it_is_sent(parts: SourceParts) -> None:
    await parts.settings(throttle=(ThrottleWindow(127, 0, 1440, MIB),))
    disk = disk_of(Random(1).randbytes(20 * MIB) + bytes(400 * MIB))
    await parts.lane.carry([disk], [disk.allocated], Taker().take)
    # 20 MiB at one a second; zeros are read at full speed.
    assert 15 <= parts.clock.monotonic() <= 25


async def test_who_may_not_send_holds_nothing(parts: SourceParts) -> None:
    await parts.settings(throttle=(ThrottleWindow(127, 0, 60, 0),))
    disk = disk_of(Random(1).randbytes(9 * MIB))
    free: list[int] = []
    sleep = parts.clock.sleep

    async def look(seconds: float) -> None:
        free.append(parts.host.budget.free)
        await sleep(seconds)

    parts.clock.sleep = look  # type: ignore[method-assign]  # looks at every nap
    await parts.lane.carry([disk], [disk.allocated], Taker().take)
    assert set(free) == {READ_AHEAD_BYTES}
    assert parts.clock.now() - parts.clock._start >= timedelta(hours=1)


async def test_a_read_that_keeps_nothing_takes_from_the_budget_meanwhile(
    parts: SourceParts,
) -> None:
    free: list[int] = []
    await parts.lane.read(MIB, lambda: free.append(parts.host.budget.free))
    assert free == [READ_AHEAD_BYTES - MIB]
    assert parts.host.budget.free == READ_AHEAD_BYTES


class SlowDisk(FakeViewDisk):
    """A disk that takes a second for every read, by the test's clock."""

    parts: SourceParts

    @override
    def read(self, length: int, offset: int) -> bytes:
        self.parts.clock.advance(1)
        return super().read(length, offset)


@pytest.mark.parametrize(("sending", "is_packed"), [(60.0, True), (0.0, False)])
async def test_adaptive_compression_waits_until_the_network_is_the_limit(
    parts: SourceParts, sending: float, *, is_packed: bool
) -> None:
    await parts.settings(compression=Compression.ADAPTIVE)
    content = b"text " * (90 * MIB // 5)
    disk = disk_of(content)
    slow = SlowDisk(content, disk.allocated)
    slow.parts = parts
    disk = CapturedDisk(0, disk.geometry, slow, disk.allocated)
    codecs: set[int] = set()

    async def take(batch: Batch) -> bool:
        parts.clock.advance(sending)
        codecs.update(int(record["codec"]) for record in parse_records(batch.records))
        return True

    await parts.lane.carry([disk], [disk.allocated], take)
    assert (int(Codec.LZ4) in codecs) is is_packed
