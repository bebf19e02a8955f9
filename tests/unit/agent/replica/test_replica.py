"""A replica that receives at one end while it applies, releases and recovers at the other."""

import asyncio
import errno
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from blake3 import blake3

from agent.replica import apply, new_disks, point_digests
from agent.replica.announcements import PointsChanged
from agent.replica.errors import ReplicaError
from agent.replica.replica import Replica
from tests.support.lineages import OUT, LineageBench
from tests.support.replicas import deliver, next_segment, replica_over, turns
from tests.support.segments import ACCEPTED, GENERATION, Write
from tests.support.virtual_clock import VirtualClock

WRITES = [Write(0, 0, b"d" * 1024), Write(1, 512, 512)]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def bench() -> LineageBench:
    return LineageBench()


@pytest.fixture
def replica(bench: LineageBench, clock: VirtualClock) -> Replica:
    return replica_over(bench.lineage, clock)


@pytest.fixture
async def running(replica: Replica) -> AsyncIterator[Replica]:
    task = asyncio.ensure_future(replica.run())
    yield replica
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def trouble_of(replica: Replica) -> str:
    return replica.trouble.code if replica.trouble else ""


def position(bench: LineageBench) -> int:
    return bench.lineage.history.position.sequence


async def test_what_is_sealed_is_applied(running: Replica, bench: LineageBench) -> None:
    for _ in range(3):
        await deliver(running, WRITES)
    await turns()
    assert position(bench) == 3
    assert running.trouble is None
    assert [point.sequence for point in running.points()] == [1, 2, 3]


async def test_points_that_come_and_go_are_announced_once(
    running: Replica, clock: VirtualClock
) -> None:
    changes: list[PointsChanged] = []
    running.subscribe(changes.append)
    points = []
    for number in (1, 2):
        points.append(await deliver(running, WRITES))
        await turns()
        assert running.processed() == number
    assert changes == [
        PointsChanged((points[0],), (), 1),
        PointsChanged((points[1],), (), 1),
        PointsChanged((), (), 2),
    ]
    clock.advance(25 * 3600)
    points.append(await deliver(running, WRITES))
    await turns()
    assert changes[3:] == [
        PointsChanged((points[2],), (), 2),
        PointsChanged((), (), 3),
        PointsChanged((), (1, 2), 3),
    ]
    assert running.points() == (points[2],)


async def test_a_shorter_retention_holds_at_once(running: Replica, clock: VirtualClock) -> None:
    await deliver(running)
    clock.advance(3600)
    await deliver(running)
    await turns()
    assert len(running.points()) == 2
    await running.change_terms(replace(ACCEPTED, retention=timedelta(minutes=1)))
    await turns()
    assert [point.sequence for point in running.points()] == [2]
    assert running.accepted.retention == timedelta(minutes=1)


async def test_everything_goes_on_while_a_point_is_recovered(
    running: Replica, bench: LineageBench, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_disks, "COPY_BYTES", 64)
    for number in range(3):
        await deliver(running, [Write(0, 0, bytes([65 + number]) * 1024)])
    await turns()
    recovering = asyncio.ensure_future(running.materialise(2, lambda disk: OUT / disk.name))
    while bench.files.status(OUT / "disk-0.vhdx") is None:
        await asyncio.sleep(0)
    clock.advance(30 * 3600)
    point = await deliver(running, [Write(0, 512, b"after" * 200 + bytes(24))])
    while running.points()[0].sequence == 1:
        assert not recovering.done()
        await asyncio.sleep(0)
    assert not recovering.done()
    assert (point.sequence, position(bench)) == (4, 4)
    assert running.points()[0].sequence == 2  # held, although its time is over
    recovered = await recovering
    assert [path for _, path in recovered] == [OUT / "disk-0.vhdx", OUT / "disk-1.vhdx"]
    content = bench.files.read_bytes(OUT / "disk-0.vhdx", limit=1 << 20)
    assert content == b"B" * 1024 + bytes(3072)
    running.wake()
    await turns()
    assert [point.sequence for point in running.points()] == [4]


async def test_a_long_apply_lets_others_read_the_base_where_it_rests(
    replica: Replica, bench: LineageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "ROUND_BYTES", 512)
    await deliver(replica, WRITES)
    segment = next_segment(replica, *(Write(0, 512 * n, bytes([n + 1]) * 512) for n in range(8)))
    attempt = bench.begin(segment)  # each record in a frame of its own
    bench.lineage.deltas.seal(attempt, segment.trailer, segment.chain_digest, bench.now(2))
    applying = asyncio.ensure_future(replica.settle())
    seen: set[int] = set()
    while not applying.done():
        await asyncio.sleep(0)
        digest = await replica.digests(1, [(0, 0, 4096)])
        assert digest == blake3(b"d" * 1024 + bytes(3072)).digest()
        seen.add(bench.lineage.history.in_doubt)
    assert seen == {0, 1}
    assert position(bench) == 2


async def test_a_cancelled_recovery_leaves_nothing_and_lets_apply_go_on(
    running: Replica, bench: LineageBench
) -> None:
    await deliver(running, WRITES)
    recovering = asyncio.ensure_future(running.materialise(1, lambda disk: OUT / disk.name))
    while bench.files.status(OUT / "disk-0.vhdx") is None:
        await asyncio.sleep(0)
    recovering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recovering
    assert bench.files.list_directory(OUT) == []
    await deliver(running, WRITES)
    await turns()
    assert position(bench) == 2


async def test_a_full_volume_is_told_and_tried_again(running: Replica, bench: LineageBench) -> None:
    await deliver(running, WRITES)
    await turns()

    def full(operation: str, path: Path) -> None:
        if operation == "write" and path.name.endswith(".undo.new"):
            raise OSError(errno.ENOSPC, "full")

    bench.files.before = full
    await deliver(running, WRITES)
    await turns()
    assert trouble_of(running) == "disk-full"
    assert (position(bench), len(running.points())) == (1, 2)
    bench.files.before = None
    running.wake()
    await turns()
    assert trouble_of(running) == ""
    assert position(bench) == 2


async def test_after_a_failed_sync_it_does_not_answer_for_its_head(
    replica: Replica, bench: LineageBench
) -> None:
    await deliver(replica)
    segment = next_segment(replica)
    writer = await replica.begin(segment.header)

    def broken(operation: str, _path: Path) -> None:
        if operation == "sync":
            raise OSError(errno.EIO, "gone")

    bench.files.before = broken
    with pytest.raises(ReplicaError):
        await writer.seal(segment.trailer, segment.chain_digest)
    with pytest.raises(ReplicaError) as error:
        _ = replica.head
    assert error.value.code == "storage-failed"


async def test_damaged_points_are_withdrawn(running: Replica, bench: LineageBench) -> None:
    changes: list[PointsChanged] = []
    await deliver(running, WRITES)
    await turns()
    bench.files.before = lambda operation, path: None
    running.subscribe(changes.append)
    point = await deliver(running, WRITES)
    bench.damage(bench.layout.redo_file(2), 900)
    await turns()
    assert changes == [PointsChanged((point,), (), 1), PointsChanged((), (2,), 1)]
    assert running.trouble is not None
    assert running.trouble.is_diverged


async def test_a_point_is_described_by_its_machine(replica: Replica) -> None:
    await deliver(replica)
    assert b'"name":"mail"' in replica.describe(1)
    with pytest.raises(ReplicaError, match="no recovery point 2"):
        replica.describe(2)


async def test_abandoned_attempts_raise_the_floor(replica: Replica) -> None:
    await deliver(replica)
    assert await replica.abandon(GENERATION, 2, 6) == 7
    assert replica.head.attempt_floor == 7
    with pytest.raises(ReplicaError, match="below 7"):
        await replica.begin(next_segment(replica, attempt=6).header)


async def test_a_full_volume_does_not_keep_old_points_from_their_release(
    replica: Replica,
    bench: LineageBench,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench.deliver_many(4)
    bench.apply(2)
    monkeypatch.setattr(bench.files, "free_space", lambda path: 1000)
    clock.advance(timedelta(days=400).total_seconds())
    with pytest.raises(ReplicaError) as raised:
        await replica.settle()
    assert raised.value.code == "disk-full"
    assert bench.sequences[0] > 1


async def test_ranges_and_whole_points_are_digested_while_the_base_moves(
    running: Replica, bench: LineageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(point_digests, "SLICE_BYTES", 1024)
    for _ in range(2):
        await deliver(running, WRITES)
    content = (b"d" * 1024 + bytes(3072), bytes(2048))
    ranges = [(0, 512, 1024), (1, 0, 2048)]
    expected = blake3(content[0][512:1536]).digest() + blake3(content[1]).digest()
    assert await running.digests(1, ranges) == expected
    seen: list[tuple[int, int]] = []
    digesting = asyncio.ensure_future(
        running.point_digests(1, lambda done, total: seen.append((done, total)))
    )
    await turns(5)
    await deliver(running, [Write(0, 0, b"e" * 4096)])
    found = await digesting
    assert [digest.sha256 for digest in found] == [sha256(disk).digest() for disk in content]
    assert [digest.name for digest in found] == ["disk-0.vhdx", "disk-1.vhdx"]
    assert seen[-1] == (6144, 6144)
    assert len(seen) >= 4
    assert await running.digests(1, ranges) == expected
    with pytest.raises(ReplicaError, match="no recovery point 9"):
        await running.digests(9, ranges)
    with pytest.raises(ReplicaError, match="no recovery point 9"):
        await running.point_digests(9, lambda done, total: None)


async def test_a_point_that_is_being_digested_is_not_released(
    running: Replica, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(point_digests, "SLICE_BYTES", 1024)
    monkeypatch.setattr(point_digests, "STEP_BYTES", 1024)
    for _ in range(3):
        await deliver(running, WRITES)
    await turns()
    digesting = asyncio.ensure_future(running.point_digests(2, lambda done, total: None))
    await asyncio.sleep(0)
    clock.advance(30 * 3600)
    running.wake()
    while not digesting.done():
        assert running.points()[0].sequence in {1, 2}
        await asyncio.sleep(0)
    running.wake()
    await turns()
    assert [point.sequence for point in running.points()] == [3]


async def test_damage_in_the_base_is_told_and_equal_to_nothing(
    running: Replica, bench: LineageBench
) -> None:
    for _ in range(2):
        await deliver(running, WRITES)
    await turns()
    bench.damage(bench.layout.images(1) / "00.img", 2048)
    assert await running.digests(2, [(0, 0, 4096)]) == bytes(32)
    assert trouble_of(running) == "base-damaged"
    await deliver(running, [Write(0, 0, b"h" * 4096)])
    await turns()
    assert trouble_of(running) == ""
    assert await running.digests(3, [(0, 0, 4096)]) == blake3(b"h" * 4096).digest()


async def test_a_pin_stops_apply_and_reception_goes_on(
    running: Replica, bench: LineageBench
) -> None:
    for _ in range(2):
        await deliver(running, WRITES)
    await turns()
    await running.pin("order-1", 1)
    await running.pin("order-1", 1)
    assert [(pin.holder, pin.sequence) for pin in running.pins()] == [("order-1", 1)]
    for _ in range(3):
        await deliver(running, WRITES)
    await turns()
    assert (position(bench), len(running.points())) == (2, 5)
    assert running.trouble is None
    await running.unpin("order-1")
    await turns()
    assert position(bench) == 5


async def test_pinning_ends_an_apply_that_runs(replica: Replica, bench: LineageBench) -> None:
    for _ in range(6):
        await deliver(replica, WRITES)
    applying = asyncio.ensure_future(replica.settle())
    while bench.files.list_directory(bench.layout.undo) == []:
        await asyncio.sleep(0)
    await replica.pin("order-1", 6)
    await applying
    assert position(bench) in {1, 6}
    assert replica.pins() != ()
    bench.reopen()


async def test_a_removed_replica_refuses_everything(running: Replica, bench: LineageBench) -> None:
    await deliver(running, WRITES)
    await running.pin("order-1", 1)
    with pytest.raises(ReplicaError, match="order-1"):
        await running.remove(None)
    seen = [running.is_removed]
    await running.unpin("order-1")
    await running.remove(None)
    assert [*seen, running.is_removed] == [False, True]
    for operate in (running.pin("order-2", 1), running.digests(1, []), running.settle()):
        with pytest.raises(ReplicaError, match="was removed"):
            await operate
    await turns()
