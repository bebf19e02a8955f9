"""A replica that receives at one end while it applies, releases and recovers at the other."""

import asyncio
import errno
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.replica import materialise
from agent.replica.errors import ReplicaError
from agent.replica.replica import PointsChanged, Replica
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
    points = [await deliver(running, WRITES) for _ in range(2)]
    await turns()
    assert changes == [PointsChanged((point,), ()) for point in points]
    clock.advance(25 * 3600)
    points.append(await deliver(running, WRITES))
    await turns()
    assert changes[2:] == [PointsChanged((points[2],), ()), PointsChanged((), (1, 2))]
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


async def test_reception_goes_on_while_a_point_is_recovered_and_apply_waits(
    running: Replica, bench: LineageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(materialise, "COPY_BYTES", 64)
    for _ in range(3):
        await deliver(running, WRITES)
    await turns()
    recovering = asyncio.ensure_future(running.materialise(1, lambda disk: OUT / disk.name))
    while bench.files.status(OUT / "disk-0.vhdx") is None:
        await asyncio.sleep(0)
    point = await deliver(running, WRITES)
    await turns(30)
    assert not recovering.done()
    assert (point.sequence, position(bench)) == (4, 3)
    recovered = await recovering
    assert [path for _, path in recovered] == [OUT / "disk-0.vhdx", OUT / "disk-1.vhdx"]
    await turns()
    assert position(bench) == 4


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
    assert changes == [PointsChanged((point,), ()), PointsChanged((), (2,))]
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
