import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from coordinator.store import schema
from coordinator.store.database import Store
from coordinator.store.errors import StoreError
from coordinator.store.migration import APPLICATION_ID


async def make(path: Path) -> None:
    store = Store(path)
    await store.open()
    await store.close()


def run(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


async def refused(path: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await make(path)
    assert str(path) in caught.value.cause
    return caught.value


async def test_the_migrations_end_at_the_tables_of_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    await make(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()


async def test_a_number_of_an_event_is_never_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    await make(path)
    add = "INSERT INTO events (occurred_at, kind, subject, detail) VALUES (0, 'x', '', '')"
    run(path, add, add, "DELETE FROM events", add)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT number FROM events").fetchall() == [(3,)]
    connection.close()


async def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    await make(path)
    before = path.read_bytes()
    await make(path)
    assert path.read_bytes()[100:] == before[100:]


async def test_a_database_of_a_newer_coordinator_is_refused_by_its_schema(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    await make(path)
    run(path, "UPDATE alembic_version SET version_num = '9999'")
    error = await refused(path)
    assert error.code == "database-newer"
    assert "9999" in error.cause
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    connection.close()


async def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    run(path, "CREATE TABLE recipes (name TEXT)")
    assert (await refused(path)).code == "database-foreign"
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]
    assert connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,)
    connection.close()
