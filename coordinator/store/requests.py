"""Requests of operators that were carried out, so that a repeated one is answered and not carried out again."""

from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.domain.commands import Command
from coordinator.domain.errors import RefusedError
from coordinator.store import schema

_REQUESTS = schema.requests


class Requests:
    """Results by who asked and with which key."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def done(self, command: Command) -> str | None:
        """Return the result of the same request, None where it comes for the first time.

        Raises `RefusedError` where the key was used for another request.
        """
        if command.key is None:
            return None
        same = (_REQUESTS.c.actor == command.actor, _REQUESTS.c.key == command.key)
        query = select(_REQUESTS.c.digest, _REQUESTS.c.result).where(*same)
        row = (await self._connection.execute(query)).one_or_none()
        if row is None:
            return None
        if row.digest != command.digest:
            raise RefusedError(
                "idempotency-key-reused",
                f"The idempotency key {command.key} was used for another request.",
                "Use a new key for a new request.",
            )
        result: str = row.result
        return result

    async def add(self, command: Command, result: str, now: datetime) -> None:
        """Keep what a request led to."""
        values = {
            "actor": command.actor,
            "key": command.key,
            "digest": command.digest,
            "result": result,
            "created_at": now,
        }
        await self._connection.execute(insert(_REQUESTS).values(values))

    async def forget(self, before: datetime) -> None:
        """Drop what is older than that."""
        await self._connection.execute(delete(_REQUESTS).where(_REQUESTS.c.created_at < before))
