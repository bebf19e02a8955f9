"""The database: one file, many readers, one writer.

SQLite with a write-ahead log and a full sync at every commit: what was committed survives a power cut. A writer begins
with BEGIN IMMEDIATE, because a reader that turns into a writer fails at once when somebody else wrote meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, event
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from coordinator.store.errors import StoreError, translated
from coordinator.store.history import Anchor, HistoryLine
from coordinator.store.migration import check_whole, migrate
from coordinator.store.records import Records, WritableRecords
from coordinator.store.snapshot import copy_into
from coordinator.store.turns import connect
from replikera.history import GENESIS, BrokenChainError, verify

BUSY_MS = 5_000
"""How long another process may hold the file before it counts as locked."""

_CONNECTIONS = 5  # one writes; the rest answer operators and sessions, each for milliseconds
_WRITES = "coordinator_writes"
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
)


class Store:
    """The vault's database. Open it before use and close it after."""

    def __init__(self, path: Path, *, busy_ms: int = BUSY_MS) -> None:
        self.path = path
        self._engine = _engine(path, busy_ms)
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

    async def snapshot(self, target: Path) -> Anchor:
        """Write all that is stored at this moment into a new database file; return where its history ends.

        Nobody waits for it: readers and the writer go on. A cancelled caller leaves an unfinished file.
        """
        with translated(target), self._counted():
            async with self._engine.connect() as connection:
                return await copy_into(connection, target)

    async def check_integrity(self) -> None:
        """Check every page, index and reference: minutes for gigabytes. Raises `StoreError`."""
        with translated(self.path):
            async with self._transaction(writes=False) as connection:
                await connection.run_sync(check_whole, self.path)

    async def verify_history(self) -> Anchor:
        """Follow the chain over the history from its beginning; return where it ends. Raises `StoreError`.

        Bounded in memory whatever the length; what is added meanwhile is not looked at.
        """
        async with self.read() as records:
            head = await records.head()
        at = Anchor(0, GENESIS)
        while lines := await self._lines(at.number, head.number):
            at = self._followed(lines, at)
        return at

    async def _lines(self, after: int, up_to: int) -> tuple[HistoryLine, ...]:
        async with self.read() as records:
            return await records.history.after(after, up_to=up_to)

    def _followed(self, lines: tuple[HistoryLine, ...], at: Anchor) -> Anchor:
        pairs = ((line.line, line.digest) for line in lines)
        try:
            number, digest = verify(pairs, after=at.number, previous=at.digest)
        except BrokenChainError as error:
            raise StoreError(
                "history-broken",
                f"The history in {self.path} is not what was written: {error}.",
                "Somebody or something changed the file. Restore a backup from before that.",
            ) from error
        return Anchor(number, digest)

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


def _engine(path: Path, busy_ms: int) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        async_creator=partial(connect, path),
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=30,
    )
    pragmas = (f"PRAGMA busy_timeout = {busy_ms}", *_PRAGMAS)
    event.listen(engine.sync_engine, "connect", partial(_prepare, pragmas))
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _prepare(
    pragmas: tuple[str, ...], connection: AsyncAdapt_aiosqlite_connection, _record: object
) -> None:
    # The driver's own transactions begin deferred and late; ours begin where we say.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        for pragma in pragmas:
            cursor.execute(pragma)
    finally:
        cursor.close()


def _begin(connection: Connection) -> None:
    is_writer = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")
