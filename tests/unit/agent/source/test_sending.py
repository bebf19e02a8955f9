import asyncio
from datetime import UTC, datetime
from random import Random

import pytest

from agent.hypervisor.interface import HypervisorError, View
from agent.source.batching import BATCH_BYTES, CapturedDisk
from agent.source.budget import ReadAheadBudget
from agent.source.capture import Capture
from agent.source.conversation import Conversation
from agent.source.sending import READ_AHEAD_BATCHES, SegmentSender
from replikera.blocks.extents import Extents
from replikera.blocks.segment import NO_POINT, DiskGeometry, SegmentHeader, SegmentKind
from replikera.wire.v1 import replication_pb2 as wire
from tests.support.fake_hypervisor import FakeViewDisk, describe
from tests.support.fake_target import FakeTarget
from tests.support.memory_stream import Direction, Faults, stream_pair
from tests.support.virtual_clock import InlineWorker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MIB = 1 << 20


def capture_of(content: bytes) -> Capture:
    geometry = DiskGeometry("disk-a", "a.vhdx", len(content), 512)
    extents = Extents.whole(len(content))
    disk = CapturedDisk(0, geometry, FakeViewDisk(content, extents), extents)
    machine = describe({"disk-a": len(content)})
    view = View("v", machine.machine_id, "tag", machine, NOW)
    return Capture(view, NOW, (disk,), machine.to_json(), b"m" * 32)


def header_of(capture: Capture, kind: SegmentKind = SegmentKind.INITIAL) -> SegmentHeader:
    sequence = 1 if kind is SegmentKind.INITIAL else 2
    return SegmentHeader(
        "11111111-1111-4111-8111-111111111111",
        1,
        "22222222-2222-4222-8222-222222222222",
        sequence,
        1,
        NO_POINT if sequence == 1 else b"p" * 32,
        kind,
        capture.geometries,
    )


async def send(capture: Capture, target: FakeTarget, budget: ReadAheadBudget) -> list[int]:
    """Send a capture and return the progress; the budget must be whole at the end, however that is."""
    near, far, _ = stream_pair()
    conversation = Conversation(near)
    progress: list[int] = []
    digests: list[bytes] = []

    async def note(digest: bytes) -> None:
        digests.append(digest)

    async with asyncio.TaskGroup() as group:
        pump = group.create_task(conversation.pump())
        serving = group.create_task(target.serve(far))
        sender = SegmentSender(conversation, InlineWorker(), budget, progress.append)
        sealed = await sender.send(header_of(capture), capture, note)
        assert [sealed.digest] == digests
        pump.cancel()
        serving.cancel()
    return progress


async def test_a_segment_reaches_the_target_and_its_digest_is_told_first() -> None:
    content = Random(1).randbytes(9 * MIB)
    target = FakeTarget()
    budget = ReadAheadBudget()
    progress = await send(capture_of(content), target, budget)

    assert target.points[1] == {"disk-a": content}
    assert progress == [BATCH_BYTES, BATCH_BYTES, MIB]
    assert budget.free == 64 * MIB


async def test_batches_of_nothing_but_zeros_are_not_sent_initially() -> None:
    content = bytes(9 * MIB)
    target = FakeTarget()
    progress = await send(capture_of(content), target, ReadAheadBudget())

    assert target.segments[0].records == 0
    assert sum(progress) == 9 * MIB


async def test_a_budget_of_one_batch_is_enough() -> None:
    content = Random(2).randbytes(9 * MIB)
    target = FakeTarget()
    await send(capture_of(content), target, ReadAheadBudget(BATCH_BYTES))
    assert target.points[1] == {"disk-a": content}


async def test_reading_stops_a_few_batches_ahead_of_a_target_that_does_not_read() -> None:
    capture = capture_of(Random(3).randbytes(64 * MIB))
    near, _, _ = stream_pair()
    conversation = Conversation(near)
    budget = ReadAheadBudget(1 << 30)

    async def before_end(_digest: bytes) -> None:
        raise AssertionError("the segment cannot end")

    sender = SegmentSender(conversation, InlineWorker(), budget, lambda _count: None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await sender.send(header_of(capture), capture, before_end)
    reader = capture.disks[0].reader
    assert isinstance(reader, FakeViewDisk)
    # one batch with the sender, and two of 4 MiB in the stream's own eight messages
    assert len(reader.reads) * MIB <= (READ_AHEAD_BATCHES + 1 + 2) * BATCH_BYTES
    assert budget.free == 1 << 30


async def test_a_disk_that_fails_ends_the_segment_with_its_error() -> None:
    capture = capture_of(bytes(MIB))
    capture.disks[0].reader.close()
    budget = ReadAheadBudget()
    with pytest.raises(ExceptionGroup) as raised:
        await send(capture, FakeTarget(), budget)
    assert [type(error) for error in raised.value.exceptions] == [HypervisorError]
    assert budget.free == 64 * MIB


async def test_the_trailer_does_not_leave_when_its_digest_could_not_be_noted() -> None:
    capture = capture_of(bytes(MIB))
    sent: list[str | None] = []

    def note(direction: Direction, message: bytes) -> list[bytes]:
        if direction is Direction.TO_TARGET:
            sent.append(wire.ReplicateRequest.FromString(message).WhichOneof("message"))
        return [message]

    near, _, _ = stream_pair(faults=Faults(tamper=note))

    async def before_end(_digest: bytes) -> None:
        raise OSError(28, "No space left on device")

    sender = SegmentSender(
        Conversation(near), InlineWorker(), ReadAheadBudget(), lambda _count: None
    )
    with pytest.raises(OSError, match="No space"):
        await sender.send(header_of(capture), capture, before_end)
    assert sent == ["begin"]
