import asyncio
import sqlite3
from pathlib import Path

import pytest

from coordinator.domain.commands import BY_VAULT
from coordinator.domain.decisions import Decision
from coordinator.domain.events import Event, EventKind
from coordinator.store.database import Store
from coordinator.store.errors import StoreError
from coordinator.store.history import Anchor
from coordinator.store.migration import APPLICATION_ID
from replikera.history import GENESIS
from replikera.system.files import SystemFiles
from tests.unit.coordinator.examples import NOW, SOURCE, TARGET

FILES = SystemFiles()


async def opened(path: Path) -> Store:
    store = Store(path)
    await store.open()
    return store


async def add(store: Store, count: int) -> None:
    events = tuple(Event(NOW, EventKind.HOST_INVITED, "x" * 200) for _ in range(count))
    async with store.write() as records:
        await records.save(Decision(events=events), BY_VAULT)


async def test_a_snapshot_is_a_database_of_that_moment(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    assert await store.snapshot(tmp_path / "empty.db") == Anchor(0, GENESIS)
    async with store.write() as records:
        await records.save(Decision((SOURCE,)), BY_VAULT)
    await add(store, 10)
    head = await store.snapshot(tmp_path / "copy.db")
    await add(store, 1)
    async with store.write() as records:
        await records.save(Decision((TARGET,)), BY_VAULT)
    await store.close()
    assert FILES.list_directory(tmp_path) == ["copy.db", "empty.db", "vault.db"]
    raw = sqlite3.connect(tmp_path / "copy.db")
    assert raw.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    raw.close()
    copy = await opened(tmp_path / "copy.db")
    await copy.check_integrity()
    assert await copy.verify_history() == head
    assert head.number == 10
    async with copy.read() as reading:
        assert await reading.hosts.all() == (SOURCE,)
    await add(copy, 1)
    assert (await copy.verify_history()).number == 11
    await copy.close()


async def test_decisions_go_on_while_a_snapshot_is_written(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    await add(store, 20_000)
    copying = asyncio.create_task(store.snapshot(tmp_path / "copy.db"))
    added = 0
    while not copying.done():
        await add(store, 1)
        added += 1
    head = await copying
    assert added
    assert 20_000 <= head.number <= 20_000 + added
    copy = await opened(tmp_path / "copy.db")
    assert await copy.verify_history() == head
    await copy.close()
    await store.close()


async def test_a_snapshot_that_is_not_wanted_any_more_ends(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    await add(store, 40_000)
    copying = asyncio.create_task(store.snapshot(tmp_path / "copy.db"))
    while not (tmp_path / "copy.db").exists():
        await asyncio.sleep(0)
    copying.cancel()
    (ended,) = await asyncio.gather(copying, return_exceptions=True)
    # On a fast machine the copy may have been there already.
    assert isinstance(ended, (asyncio.CancelledError, Anchor))
    await add(store, 1)
    FILES.remove(tmp_path / "copy.db")
    assert (await store.snapshot(tmp_path / "copy.db")).number == 40_001
    await store.close()


async def test_a_snapshot_never_replaces_a_file(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    target = tmp_path / "copy.db"
    target.write_bytes(b"something else")
    with pytest.raises(StoreError) as caught:
        await store.snapshot(target)
    assert str(target) in caught.value.cause
    assert target.read_bytes() == b"something else"
    await store.close()


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    with pytest.raises(StoreError) as caught:
        await store.snapshot(tmp_path / "missing" / "copy.db")
    assert caught.value.code == "database-unreadable"
    assert str(tmp_path / "missing") in caught.value.cause
    await store.close()
