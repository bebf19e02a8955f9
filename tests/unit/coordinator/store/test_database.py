import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from coordinator.domain.commands import BY_VAULT
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import RefusedError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.identifiers import JobId, OrderId
from coordinator.domain.jobs import Job
from coordinator.domain.orders import Done, Order
from coordinator.domain.protections import enable
from coordinator.store.database import Store
from coordinator.store.errors import StoreError
from coordinator.store.records import Records
from tests.unit.coordinator.examples import IDS, NOW, POLICY, REQUEST, SOURCE, TARGET


async def opened(path: Path, **more: int) -> Store:
    store = Store(path, **more)
    await store.open()
    return store


async def events_in(records: Records) -> tuple[Event, ...]:
    lines = (await records.history.page(after=0)).items
    return tuple(Event(at.occurred_at, at.kind, at.subject, at.detail) for at in lines)


async def refused(path: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await opened(path, busy_ms=0)
    assert str(path) in caught.value.cause
    return caught.value


async def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    async with store.write() as records:
        await records.save(Decision((SOURCE, POLICY)), BY_VAULT)
    await store.close()
    store = await opened(tmp_path / "vault.db")
    async with store.read() as records:
        assert await records.hosts.all() == (SOURCE,)
        assert await records.policies.all() == (POLICY,)
    await store.close()


async def test_a_decision_is_stored_wholly_or_not_at_all(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    async with store.write() as records:
        await records.save(Decision((SOURCE, TARGET, POLICY)), BY_VAULT)
    job, decision = enable(REQUEST, IDS, NOW)
    (order,) = decision.orders
    lost = replace(order, id=OrderId("x"), job_id=JobId("no such job"))
    with pytest.raises(StoreError):
        async with store.write() as records:
            await records.save(decision + Decision(orders=(lost,)), BY_VAULT)
    with pytest.raises(RefusedError):
        async with store.write() as records:
            await records.save(decision, BY_VAULT)
            raise RefusedError("no", "No.", "Never.")
    async with store.read() as records:
        assert await records.jobs.all() == ()
        assert await records.protections.all() == ()
        assert await records.open_orders(TARGET.id) == ()
        assert await events_in(records) == ()
    async with store.write() as records:
        await records.save(decision, BY_VAULT)
    async with store.read() as records:
        assert await records.jobs.all() == (job,)
        assert await records.open_orders(TARGET.id) == (order,)
        assert await events_in(records) == decision.events
    await store.close()


async def test_writers_take_turns_and_readers_see_one_moment(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")

    async def add(at: int) -> None:
        async with store.write() as records:
            seen = (await records.head()).number
            await asyncio.sleep(0)
            event = Event(NOW, EventKind.HOST_INVITED, f"{at} after {seen}")
            await records.save(Decision(events=(event,)), BY_VAULT)

    async with store.read() as before:
        assert (await before.head()).number == 0
        await asyncio.gather(*(add(at) for at in range(12)))
        assert (await before.head()).number == 0
    async with store.read() as after:
        assert (await after.head()).number == 12
        subjects = [line.subject for line in (await after.history.page()).items]
    assert sorted(int(subject.split()[-1]) for subject in subjects) == list(range(12))
    await store.close()


async def test_a_writer_waits_for_its_turn_however_long_it_takes(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db", busy_ms=0)

    async def save_target() -> None:
        async with store.write() as records:
            await records.save(Decision((TARGET,)), BY_VAULT)

    async with store.write() as records:
        second = asyncio.create_task(save_target())
        await records.save(Decision((SOURCE,)), BY_VAULT)
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
        await records.save(Decision((SOURCE,)), BY_VAULT)
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
        await records.save(Decision(events=events), BY_VAULT)
    await store.close()
    content = bytearray(path.read_bytes())
    content[-5 * 4096 :] = bytes(5 * 4096)
    path.write_bytes(content)
    assert (await refused(path)).code == "database-corrupt"


HOLDER = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute(f"PRAGMA locking_mode = {sys.argv[2]}")
other.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path, mode: str) -> Iterator[None]:
    """Let another process hold the file."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.kill()


@pytest.mark.parametrize("mode", ["NORMAL", "EXCLUSIVE"])
async def test_a_database_that_another_process_holds_is_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "vault.db"
    await (await opened(path)).close()
    with held(path, mode):
        error = await refused(path)
    assert error.code == "database-locked"
    assert "second coordinator" in error.remedy
    await (await opened(path)).close()


async def test_a_decision_while_another_process_holds_the_database_is_refused_whole(
    tmp_path: Path,
) -> None:
    path = tmp_path / "vault.db"
    store = await opened(path, busy_ms=0)
    with held(path, "NORMAL"):
        with pytest.raises(StoreError) as caught:
            async with store.write() as records:
                await records.save(Decision((SOURCE,)), BY_VAULT)
        async with store.read() as reading:
            assert await reading.hosts.all() == ()
    assert caught.value.code == "database-locked"
    async with store.write() as records:
        await records.save(Decision((SOURCE,)), BY_VAULT)
    await store.close()


@contextmanager
def nobody() -> Iterator[None]:
    """Act as a user whom permissions bind."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
async def test_a_database_that_may_only_be_read_is_refused_with_a_remedy() -> None:
    with TemporaryDirectory(dir="/tmp") as name:
        path = Path(name) / "vault.db"
        await (await opened(path)).close()
        path.chmod(0o444)
        path.parent.chmod(0o555)
        with nobody():
            error = await refused(path)
        path.parent.chmod(0o700)
    assert error.code == "database-read-only"
    assert "write permission" in error.remedy


async def test_a_full_disk_stores_nothing_and_is_told(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    events = tuple(Event(NOW, EventKind.HOST_INVITED, "x" * 400) for _ in range(500))
    with pytest.raises(StoreError) as caught:
        async with store.write() as records:
            # The file may not grow any more, as on a volume without space.
            pages = await records._connection.exec_driver_sql("PRAGMA page_count")
            limit = f"PRAGMA max_page_count = {pages.scalar_one()}"
            await records._connection.exec_driver_sql(limit)
            await records.save(Decision((SOURCE,), events=events), BY_VAULT)
    assert caught.value.code == "disk-full"
    assert str(tmp_path / "vault.db") in caught.value.cause
    assert "Free space" in caught.value.remedy
    async with store.read() as reading:
        assert await reading.hosts.all() == ()
        assert (await reading.head()).number == 0
    async with store.write() as records:
        await records._connection.exec_driver_sql("PRAGMA max_page_count = 100000")
        await records.save(Decision((SOURCE,), events=events), BY_VAULT)
    assert (await store.verify_history()).number == len(events)
    await store.close()


async def test_a_history_that_was_changed_is_found(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    store = await opened(path)
    events = tuple(Event(NOW, EventKind.HOST_INVITED, f"s{at}") for at in range(2300))
    async with store.write() as records:
        await records.save(Decision(events=events), BY_VAULT)
    head = await store.verify_history()
    assert head.number == 2300
    for change in (
        "UPDATE events SET detail = 'y' WHERE number = 2100",
        "DELETE FROM events WHERE number = 2100",
        "UPDATE events SET actor = 'operator/eve' WHERE number = 1",
    ):
        other = sqlite3.connect(path)
        other.execute(change)
        other.commit()
        other.close()
        with pytest.raises(StoreError, match="of the history") as caught:
            await store.verify_history()
        assert caught.value.code == "history-broken"
    await store.close()


async def test_a_database_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    with pytest.raises(StoreError) as caught:
        async with store.write() as records:
            await records._connection.exec_driver_sql("PRAGMA query_only = ON")
            await records.save(Decision((SOURCE,)), BY_VAULT)
    assert caught.value.code == "database-read-only"
    assert "permission" in caught.value.remedy
    await store.close()


async def test_an_outcome_once_stored_closes_the_order(tmp_path: Path) -> None:
    store = await opened(tmp_path / "vault.db")
    job, decision = enable(REQUEST, IDS, NOW)
    async with store.write() as records:
        await records.save(Decision((SOURCE, TARGET, POLICY)) + decision, BY_VAULT)
    async with store.write() as records:
        order = await records.orders.get(IDS.order)
        assert isinstance(order, Order)
        await records.save(Decision(orders=(order.finished(Done(), NOW),)), BY_VAULT)
    async with store.read() as reading:
        assert await reading.open_orders(TARGET.id) == ()
        assert (await reading.orders.get(IDS.order)).outcome == Done()
        assert isinstance(await reading.jobs.get(job.id), Job)
    await store.close()
