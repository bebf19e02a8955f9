"""SQLite connections on which a statement costs one turn of the connection's thread.

The driver takes four: to make a cursor, to execute, to fetch the rows, to close the cursor; each wakes the thread and
then the event loop, which is most of what a small statement costs. All rows are fetched at once, as SQLAlchemy's
adapter does anyway.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

import aiosqlite
from typing_extensions import override

_CHUNK = 64

Row: TypeAlias = tuple[object, ...]
Parameters: TypeAlias = Sequence[object]


class _Done(NamedTuple):
    """What is left of a statement."""

    description: object
    rowcount: int
    lastrowid: int | None
    rows: list[Row]


_NOTHING = _Done(None, -1, None, [])


class _Cursor:
    """What SQLAlchemy's adapter asks of an asynchronous cursor. The rows of a statement are here when it is done."""

    arraysize = 1

    def __init__(self, connection: "TurnConnection") -> None:
        self._connection = connection
        self._done = _NOTHING

    @property
    def description(self) -> object:
        """Return the columns of the rows, None where a statement has none."""
        return self._done.description

    @property
    def rowcount(self) -> int:
        """Return how many rows were changed."""
        return self._done.rowcount

    @property
    def lastrowid(self) -> int | None:
        """Return the id of the row that was inserted last."""
        return self._done.lastrowid

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Parameters = ()) -> Self:
        """Run a statement and take all its rows."""
        self._done = await self._connection.in_turn(
            lambda connection: _finished(connection.execute(sql, parameters))
        )
        return self

    async def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Self:
        """Run a statement once for each of the parameters."""
        self._done = await self._connection.in_turn(
            lambda connection: _finished(connection.executemany(sql, parameters))
        )
        return self

    async def fetchall(self) -> list[Row]:
        """Return the rows, once."""
        rows, self._done = self._done.rows, self._done._replace(rows=[])
        return rows

    async def close(self) -> None:
        """Do nothing: SQLite's own cursor was closed in the turn of its statement."""


class TurnConnection(aiosqlite.Connection):
    """A connection whose cursors take one turn a statement."""

    @override
    def cursor(self) -> _Cursor:  # type: ignore[override]  # what the adapter asks of one
        return _Cursor(self)

    async def in_turn(self, work: Callable[[sqlite3.Connection], _Done]) -> _Done:
        """Do something with SQLite's own connection on this connection's thread."""
        done: _Done = await self._execute(partial(work, self._conn))  # type: ignore[no-untyped-call]  # the driver's
        return done


async def connect(path: Path) -> TurnConnection:
    """Open a database file."""
    connection = TurnConnection(
        lambda: sqlite3.connect(path, check_same_thread=False), iter_chunk_size=_CHUNK
    )
    # As SQLAlchemy does with its own: a connection that is not closed keeps no process alive.
    connection._thread.daemon = True  # noqa: SLF001
    await connection
    return connection


def _finished(cursor: sqlite3.Cursor) -> _Done:
    try:
        rows = cursor.fetchall() if cursor.description else []
        return _Done(cursor.description, cursor.rowcount, cursor.lastrowid, rows)
    finally:
        cursor.close()
