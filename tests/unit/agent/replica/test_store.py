"""All replicas of a host, on real files."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.replica.errors import ReplicaError
from agent.replica.layout import Layout
from agent.replica.removal import mark_removed
from agent.replica.store import ReplicaStore
from replikera.blocks.segment import DiskGeometry
from replikera.system.files import SystemFiles
from replikera.system.workers import ThreadWorker
from replikera.vhdx import open_image
from tests.support.replicas import DISKS, deliver, turns
from tests.support.seeded_randomness import SeededRandomness
from tests.support.segments import ACCEPTED, GENERATION, PROTECTION, Write
from tests.support.storage_folders import folders_in
from tests.support.virtual_clock import InlineWorker, VirtualClock

OTHER = PROTECTION[:-1] + "9"


def store_in(folder: Path, clock: VirtualClock | None = None) -> ReplicaStore:
    return ReplicaStore(
        SystemFiles(),
        InlineWorker(),
        clock or VirtualClock(),
        SeededRandomness(1),
        folders_in(folder),
    )


@pytest.fixture
async def store(tmp_path: Path) -> ReplicaStore:
    store = store_in(tmp_path)
    await store.open()
    return store


def code_of(error: pytest.ExceptionInfo[ReplicaError]) -> str:
    return error.value.code


async def test_an_accepted_replica_is_there_after_a_restart(
    store: ReplicaStore, tmp_path: Path
) -> None:
    assert store.all() == ()
    await store.accept(ACCEPTED)
    assert store.get(PROTECTION).accepted == ACCEPTED
    again = store_in(tmp_path)
    await again.open()
    assert [replica.accepted for replica in again.all()] == [ACCEPTED]


async def test_accepting_twice_changes_nothing(store: ReplicaStore) -> None:
    await store.accept(ACCEPTED)
    point = await deliver(store.get(PROTECTION))
    await store.accept(ACCEPTED)
    assert store.get(PROTECTION).points() == (point,)


async def test_new_terms_are_kept(store: ReplicaStore, tmp_path: Path) -> None:
    await store.accept(ACCEPTED)
    changed = replace(ACCEPTED, retention=timedelta(hours=1))
    await store.accept(changed)
    again = store_in(tmp_path)
    await again.open()
    assert again.get(PROTECTION).accepted == changed


async def test_another_source_or_generation_is_refused(store: ReplicaStore) -> None:
    await store.accept(ACCEPTED)
    for other in (
        replace(ACCEPTED, source_host_id="host-x"),
        replace(ACCEPTED, generation=OTHER),
        replace(ACCEPTED, epoch=2),
    ):
        with pytest.raises(ReplicaError, match="mail") as error:
            await store.accept(other)
        assert code_of(error) == "already-accepted"
    assert store.get(PROTECTION).accepted == ACCEPTED


async def test_impossible_terms_make_no_folder(store: ReplicaStore, tmp_path: Path) -> None:
    with pytest.raises(ReplicaError) as error:
        await store.accept(replace(ACCEPTED, protection_id="../escape"))
    assert code_of(error) == "malformed-order"
    assert SystemFiles().list_directory(tmp_path) == []


async def test_an_unknown_protection_is_named(store: ReplicaStore) -> None:
    with pytest.raises(ReplicaError, match=OTHER) as error:
        store.get(OTHER)
    assert code_of(error) == "unknown-protection"


async def test_a_damaged_replica_is_refused_and_the_others_work(
    store: ReplicaStore, tmp_path: Path
) -> None:
    await store.accept(ACCEPTED)
    await store.accept(replace(ACCEPTED, protection_id=OTHER))
    for name in ("position.0", "position.1"):
        (tmp_path / "replicas" / OTHER / name).write_bytes(b"rot")
    again = store_in(tmp_path)
    await again.open()
    assert [replica.accepted.protection_id for replica in again.all()] == [PROTECTION]
    with pytest.raises(ReplicaError) as error:
        again.get(OTHER)
    assert code_of(error) == "replica-damaged"
    with pytest.raises(ReplicaError) as error:
        await again.accept(replace(ACCEPTED, protection_id=OTHER))
    assert code_of(error) == "replica-damaged"


async def test_a_folder_that_was_never_accepted_is_no_replica(
    store: ReplicaStore, tmp_path: Path
) -> None:
    (tmp_path / "replicas" / PROTECTION).mkdir(parents=True)
    await store.open()
    assert store.all() == ()
    await store.accept(ACCEPTED)
    assert len(store.all()) == 1


@pytest.fixture
async def running(store: ReplicaStore) -> AsyncIterator[ReplicaStore]:
    task = asyncio.ensure_future(store.run())
    await turns(3)
    yield store
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_replicas_accepted_before_and_while_it_runs_are_applied(
    tmp_path: Path, running: ReplicaStore
) -> None:
    await running.accept(ACCEPTED)
    replica = running.get(PROTECTION)
    for _ in range(3):
        await deliver(replica, [Write(0, 0, b"d" * 512)])
    await turns()
    assert list((tmp_path / "replicas" / PROTECTION / "journal").iterdir()) == []
    assert len(list((tmp_path / "replicas" / PROTECTION / "undo").iterdir())) == 2
    assert [point.generation for point in replica.points()] == [GENERATION] * 3


async def test_time_alone_releases_points(tmp_path: Path) -> None:
    clock = VirtualClock()
    store = store_in(tmp_path, clock)
    await store.open()
    await store.accept(replace(ACCEPTED, retention=timedelta(seconds=60)))
    replica = store.get(PROTECTION)
    for _ in range(3):
        await deliver(replica)
    task = asyncio.ensure_future(store.run())
    while len(replica.points()) > 1:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [point.sequence for point in replica.points()] == [3]
    assert clock.monotonic() > 60


async def test_points_are_right_on_real_disks_with_real_threads(tmp_path: Path) -> None:
    size = 5 << 20
    disks = (replace(DISKS[0], size=size),)
    worker = ThreadWorker("test", threads=1)
    store = ReplicaStore(
        SystemFiles(), worker, VirtualClock(), SeededRandomness(1), folders_in(tmp_path)
    )
    await store.open()
    await store.accept(ACCEPTED)
    replica = store.get(PROTECTION)
    expected: dict[int, bytes] = {}
    content = bytearray(size)
    for number in range(1, 6):
        writes = [
            Write(0, 512 * number, bytes([number]) * 4096),
            Write(0, (2 << 20) - 512, 1 << 20),
            Write(0, (4 << 20) + 512 * number, bytes([number]) * (1 << 19)),
        ]
        for write in writes:
            data = bytes(write.data) if isinstance(write.data, int) else write.data
            content[write.offset : write.offset + len(data)] = data
        await deliver(replica, writes, disks)
        expected[number] = bytes(content)
        if number == 3:
            await replica.settle()
    for number, wanted in expected.items():
        assert await recovered(replica_folder(tmp_path, number), store, number) == wanted
    worker.close()


def replica_folder(tmp_path: Path, number: int) -> Path:
    folder = tmp_path / f"recovered-{number}"
    folder.mkdir()
    return folder


async def recovered(folder: Path, store: ReplicaStore, sequence: int) -> bytes:
    def path(disk: DiskGeometry) -> Path:
        return folder / disk.name

    ((geometry, found),) = await store.get(PROTECTION).materialise(sequence, path)
    with open_image(SystemFiles().open_read(found)) as image:
        return image.read(geometry.size, 0)


async def test_a_removed_replica_is_gone_and_its_task_with_it(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    await store.open()
    await store.accept(ACCEPTED)
    replica = store.get(PROTECTION)
    await deliver(replica, [Write(0, 0, b"x" * 512)])
    running = asyncio.ensure_future(store.run())
    await turns()
    assert await store.remove(PROTECTION, keep_disks=False) == ()
    assert store.all() == ()
    with pytest.raises(ReplicaError, match="keeps no replica"):
        store.get(PROTECTION)
    with pytest.raises(ReplicaError, match="was removed"):
        await deliver(replica)
    assert await store.remove(PROTECTION, keep_disks=False) == ()
    await store.accept(ACCEPTED)
    await turns()
    assert not running.done()
    running.cancel()


async def test_a_long_removal_keeps_nobody_else_waiting(store: ReplicaStore) -> None:
    await store.accept(ACCEPTED)
    replica = store.get(PROTECTION)
    async with replica._base_lock:
        removal = asyncio.ensure_future(store.remove(PROTECTION, keep_disks=True))
        again = asyncio.ensure_future(store.accept(ACCEPTED))
        await turns()
        other = asyncio.ensure_future(store.accept(replace(ACCEPTED, protection_id=OTHER)))
        await turns()
        assert other.done()
        assert not removal.done()
        assert not again.done()
    await removal
    await again
    assert len(store.all()) == 2


async def test_kept_disks_are_told_again_when_it_is_asked_again(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    await store.open()
    await store.accept(ACCEPTED)
    await deliver(store.get(PROTECTION), [Write(0, 0, b"x" * 512)])
    kept = await store.remove(PROTECTION, keep_disks=True)
    assert [path.name for path in kept] == ["00-disk-0.vhdx", "01-disk-1.vhdx"]
    with open_image(SystemFiles().open_read(kept[0])) as image:
        assert image.read(1024, 0) == b"x" * 512 + bytes(512)
    assert await store.remove(PROTECTION, keep_disks=True) == kept


async def test_a_damaged_replica_can_be_removed_but_not_kept(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    await store.open()
    folder = await store.accept(ACCEPTED)
    for name in ("position.0", "position.1"):
        (folder / name).write_bytes(b"?")
    again = store_in(tmp_path)
    await again.open()
    with pytest.raises(ReplicaError) as raised:
        await again.remove(PROTECTION, keep_disks=True)
    assert raised.value.code == "replica-damaged"
    assert await again.remove(PROTECTION, keep_disks=False) == ()
    assert not folder.exists()
    with pytest.raises(ReplicaError, match="keeps no replica"):
        again.get(PROTECTION)


async def test_a_removal_is_finished_at_the_start(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    await store.open()
    folder = await store.accept(ACCEPTED)
    mark_removed(SystemFiles(), Layout(folder), None)
    again = store_in(tmp_path)
    await again.open()
    assert (again.all(), folder.exists()) == ((), False)
