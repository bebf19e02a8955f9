"""The database: one file, many readers, one writer.

SQLite with a write-ahead log and a full sync at every commit: what was committed survives a power cut. A writer begins
with BEGIN IMMEDIATE, because a reader that turns into a writer fails at once when somebody else wrote meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sqlalchemy import Connection, event
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from coordinator.store.errors import StoreError, translated
from coordinator.store.migration import migrate
from coordinator.store.records import Records, WritableRecords

_BUSY_MS = 5_000
_CONNECTIONS = 5  # one writes; the rest answer operators and sessions, each for milliseconds
_WRITES = "coordinator_writes"
_PRAGMAS = (
    f"PRAGMA busy_timeout = {_BUSY_MS}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
)


class Store:
    """The vault's database. Open it before use and close it after."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = _engine(path)
        self._writing = asyncio.Lock()
        self._transactions = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_closed = False

    async def open(self) -> None:
        """Check the file and bring it to the present schema, creating it if it is missing.

        Raises `StoreError`.
        """
        try:
            with translated(self.path):
                async with self._transaction(writes=True) as connection:
                    await connection.run_sync(migrate, self.path)
        except StoreError:
            await self.close()
            raise

    async def close(self) -> None:
        """Wait for running transactions, refuse new ones, close all connections; idempotent."""
        self._is_closed = True
        await self._idle.wait()
        await self._engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Records]:
        """Give one consistent look at everything."""
        with translated(self.path):
            async with self._transaction(writes=False) as connection:
                yield Records(connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WritableRecords]:
        """Give the one transaction that may write; it is durable when the block has been left without an error."""
        async with self._writing:
            with translated(self.path):
                async with self._transaction(writes=True) as connection:
                    yield WritableRecords(connection)

    @asynccontextmanager
    async def _transaction(self, *, writes: bool) -> AsyncIterator[AsyncConnection]:
        with self._counted():
            async with self._engine.connect() as connection:
                await connection.execution_options(**{_WRITES: writes})
                async with connection.begin():
                    yield connection

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Keep the store open for one transaction: a connection in use cannot be closed under it."""
        if self._is_closed:
            raise StoreError(
                "database-closed",
                f"The database {self.path} is closed: the coordinator is stopping.",
                "Try again when it runs.",
            )
        self._transactions += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._transactions -= 1
            if self._transactions == 0:
                self._idle.set()


def _engine(path: Path) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", pool_size=_CONNECTIONS, max_overflow=0, pool_timeout=30
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _prepare(connection: AsyncAdapt_aiosqlite_connection, _record: object) -> None:
    # The driver's own transactions begin deferred and late; ours begin where we say.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
    finally:
        cursor.close()


def _begin(connection: Connection) -> None:
    is_writer = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")
