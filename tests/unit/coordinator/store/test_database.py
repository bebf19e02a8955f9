import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.domain.decisions import Decision
from coordinator.domain.errors import RefusedError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.identifiers import JobId, OrderId
from coordinator.domain.jobs import Job
from coordinator.domain.orders import Done, Order
from coordinator.domain.protections import enable
from coordinator.store import database
from coordinator.store.database import Store
from coordinator.store.errors import StoreError
from tests.unit.coordinator.examples import IDS, NOW, POLICY, REQUEST, SOURCE, TARGET


async def opened(path: Path) -> Store:
    store = Store(path)
    await store.open()
    return store


async def refused(path: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await opened(path)
    assert str(path) in caught.value.cause
    return caught.value


async def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    async with store.write() as records:
        await records.save(Decision((SOURCE, POLICY)))
    await store.close()
    store = await opened(tmp_path / "vault.db")
    async with store.read() as records:
        assert await records.hosts.all() == (SOURCE,)
        assert await records.policies.all() == (POLICY,)
    await store.close()


async def test_a_decision_is_stored_wholly_or_not_at_all(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    async with store.write() as records:
        await records.save(Decision((SOURCE, TARGET, POLICY)))
    job, decision = enable(REQUEST, IDS, NOW)
    (order,) = decision.orders
    lost = replace(order, id=OrderId("x"), job_id=JobId("no such job"))
    with pytest.raises(StoreError):
        async with store.write() as records:
            await records.save(decision + Decision(orders=(lost,)))
    with pytest.raises(RefusedError):
        async with store.write() as records:
            await records.save(decision)
            raise RefusedError("no", "No.", "Never.")
    async with store.read() as records:
        assert await records.jobs.all() == ()
        assert await records.protections.all() == ()
        assert await records.open_orders(TARGET.id) == ()
        assert await records.history() == ()
    async with store.write() as records:
        await records.save(decision)
    async with store.read() as records:
        assert await records.jobs.all() == (job,)
        assert await records.open_orders(TARGET.id) == (order,)
        assert await records.history() == decision.events
    await store.close()


async def test_writers_take_turns_and_readers_see_one_moment(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")

    async def add(at: int) -> None:
        async with store.write() as records:
            seen = await records.control_version()
            await asyncio.sleep(0)
            event = Event(NOW, EventKind.HOST_INVITED, f"{at} after {seen}")
            await records.save(Decision(events=(event,)))

    async with store.read() as before:
        assert await before.control_version() == 0
        await asyncio.gather(*(add(at) for at in range(12)))
        assert await before.control_version() == 0
    async with store.read() as after:
        assert await after.control_version() == 12
        subjects = [event.subject for event in await after.history()]
    assert sorted(int(subject.split()[-1]) for subject in subjects) == list(range(12))
    await store.close()


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for the file's lock."""
    monkeypatch.setattr(database, "_PRAGMAS", ("PRAGMA busy_timeout = 0", *database._PRAGMAS[1:]))


async def test_a_writer_waits_for_its_turn_however_long_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    store = await opened(tmp_path / "vault.db")

    async def save_target() -> None:
        async with store.write() as records:
            await records.save(Decision((TARGET,)))

    async with store.write() as records:
        second = asyncio.create_task(save_target())
        await records.save(Decision((SOURCE,)))
        await asyncio.wait([second], timeout=0.05)
        assert not second.done()
    await second
    async with store.read() as reading:
        assert await reading.hosts.all() == (SOURCE, TARGET)
    await store.close()


async def test_a_writer_holds_the_file_from_its_first_moment(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    other = sqlite3.connect(tmp_path / "vault.db", isolation_level=None, timeout=0)
    async with store.write():
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()
    await store.close()


async def test_durability_and_integrity_are_switched_on(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    async with store.read() as records:
        found = {}
        for name in ("journal_mode", "synchronous", "foreign_keys"):
            result = await records._connection.exec_driver_sql(f"PRAGMA {name}")
            found[name] = result.scalar_one()
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    await store.close()


async def test_a_closed_store_waits_for_what_runs_and_refuses_the_rest(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    async with store.write() as records:
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
        assert not closing.done()
        await records.save(Decision((SOURCE,)))
    await closing
    with pytest.raises(StoreError) as caught:
        async with store.read():
            pass
    assert caught.value.code == "database-closed"
    store = await opened(tmp_path / "vault.db")
    async with store.read() as reading:
        assert await reading.hosts.all() == (SOURCE,)
    await store.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    path.write_bytes(b"this is not a database" * 100)
    assert (await refused(path)).code == "database-corrupt"


async def test_a_damaged_database_is_refused_before_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    store = await opened(path)
    async with store.write() as records:
        events = tuple(Event(NOW, EventKind.HOST_INVITED, "x" * 50) for _ in range(2000))
        await records.save(Decision(events=events))
    await store.close()
    content = bytearray(path.read_bytes())
    content[-5 * 4096 :] = bytes(5 * 4096)
    path.write_bytes(content)
    assert (await refused(path)).code == "database-corrupt"


async def test_a_database_that_somebody_else_writes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    path = tmp_path / "vault.db"
    await (await opened(path)).close()
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        assert (await refused(path)).code == "database-locked"
    finally:
        other.close()
    await (await opened(path)).close()


async def test_a_database_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    with pytest.raises(StoreError) as caught:
        async with store.write() as records:
            await records._connection.exec_driver_sql("PRAGMA query_only = ON")
            await records.save(Decision((SOURCE,)))
    assert caught.value.code == "database-read-only"
    assert "permission" in caught.value.remedy
    await store.close()


async def test_an_outcome_once_stored_closes_the_order(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    job, decision = enable(REQUEST, IDS, NOW)
    async with store.write() as records:
        await records.save(Decision((SOURCE, TARGET, POLICY)) + decision)
    async with store.write() as records:
        order = await records.orders.get(IDS.order)
        assert isinstance(order, Order)
        await records.save(Decision(orders=(order.finished(Done(), NOW),)))
    async with store.read() as reading:
        assert await reading.open_orders(TARGET.id) == ()
        assert (await reading.orders.get(IDS.order)).outcome == Done()
        assert isinstance(await reading.jobs.get(job.id), Job)
    await store.close()
