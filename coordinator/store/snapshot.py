"""A copy of the whole database at one moment, while it is in use."""

import asyncio
from pathlib import Path

import aiosqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.store.history import Anchor
from replikera.history import GENESIS

_HEAD = "SELECT number, digest FROM copy.events ORDER BY number DESC LIMIT 1"


async def copy_into(connection: AsyncConnection, target: Path) -> Anchor:
    """Copy what `connection`, which is in no transaction, sees into a new file; return where the copy's history ends.

    SQLite reads one moment of the database and keeps nobody from writing. The file is complete, but not durable.
    """
    driver = (await connection.get_raw_connection()).driver_connection
    if not isinstance(driver, aiosqlite.Connection):
        raise TypeError("not a connection of the driver that the store is made for")
    try:
        await driver.execute("VACUUM INTO ?", (str(target),))
        return await _head(driver, target)
    except asyncio.CancelledError:
        # The driver's thread would go on for as long as the copy takes, and others wait for its connection.
        await driver.interrupt()
        raise


async def _head(connection: aiosqlite.Connection, target: Path) -> Anchor:
    await connection.execute("ATTACH ? AS copy", (str(target),))
    try:
        async with connection.execute(_HEAD) as cursor:
            row = await cursor.fetchone()
    finally:
        await connection.execute("DETACH copy")
    return Anchor(row[0], row[1]) if row is not None else Anchor(0, GENESIS)
