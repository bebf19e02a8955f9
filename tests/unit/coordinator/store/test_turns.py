import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import aiosqlite
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from coordinator.store.turns import TurnConnection, connect


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[TurnConnection]:
    opened = await connect(tmp_path / "some.db")
    await opened.cursor().execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT)")
    yield opened
    await opened.close()


async def test_rows_are_there_when_a_statement_is_done(connection: TurnConnection) -> None:
    cursor = connection.cursor()
    await cursor.executemany("INSERT INTO things (name) VALUES (?)", [("a",), ("b",)])
    assert cursor.rowcount == 2
    await cursor.execute("SELECT id, name FROM things WHERE name > ?", ("a",))
    assert [column[0] for column in cast("Any", cursor.description)] == ["id", "name"]
    assert await cursor.fetchall() == [(2, "b")]
    assert await cursor.fetchall() == []


async def test_what_was_inserted_is_told(connection: TurnConnection) -> None:
    cursor = connection.cursor()
    await cursor.execute("INSERT INTO things (name) VALUES ('a')")
    assert (cursor.lastrowid, cursor.rowcount, cursor.description) == (1, 1, None)


async def test_a_statement_takes_one_turn(
    connection: TurnConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[object] = []
    execute = aiosqlite.Connection._execute

    async def counted(self: TurnConnection, *call: Any) -> Any:
        turns.append(call)
        return await execute(self, *call)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    cursor = await connection.cursor().__aenter__()
    await cursor.execute("SELECT * FROM things")
    await cursor.fetchall()
    await cursor.close()
    assert len(turns) == 1


async def test_an_error_is_the_databases_own(connection: TurnConnection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await connection.cursor().execute("SELECT * FROM others")
    await connection.cursor().execute("SELECT * FROM things")


async def test_sqlalchemy_works_on_it(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    engine = create_async_engine("sqlite+aiosqlite://", async_creator=lambda: connect(path))
    async with engine.begin() as transaction:
        await transaction.execute(text("CREATE TABLE things (name TEXT)"))
        await transaction.execute(
            text("INSERT INTO things VALUES (:name)"), [{"name": "a"}, {"name": "b"}]
        )
        found = await transaction.execute(text("SELECT name FROM things ORDER BY name"))
        assert [row.name for row in found] == ["a", "b"]
        changed = await transaction.execute(text("DELETE FROM things WHERE name = 'a'"))
        assert changed.rowcount == 1
    await engine.dispose()
