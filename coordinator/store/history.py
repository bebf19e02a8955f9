"""The history: what happened, each line chained to all before it. It is only ever added to."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.domain.events import Event, EventKind
from coordinator.store import schema
from coordinator.store.paging import DEFAULT_LIMIT, MAX_LIMIT, Ordering, Page, check_limit
from coordinator.store.repository import Rows
from replikera.history import GENESIS, Line, digest_of

MAX_DETAIL_LENGTH = 4000
"""Of one line: what a host says of a failure may be longer."""

_EVENTS = schema.events
_NEWEST_FIRST = Ordering(_EVENTS.c.number, descending=True)
_OLDEST_FIRST = Ordering(_EVENTS.c.number)


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One event as it is kept: see `replikera.history`."""

    number: int
    occurred_at: datetime
    actor: str
    kind: EventKind
    subject: str
    detail: str
    digest: bytes

    @property
    def line(self) -> Line:
        """Return what the digest is over."""
        return Line(self.number, self.occurred_at, self.actor, self.kind, self.subject, self.detail)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place in the history: a number and the digest of the chain there."""

    number: int
    digest: bytes


class History:
    """All lines, as one transaction sees them."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._lines = Rows(connection, _EVENTS, HistoryLine)
        self._skipped = 0

    async def head(self) -> Anchor:
        """Return the newest place; its number rises with every decision and is never used again."""
        newest = await self._lines.first(order=_EVENTS.c.number.desc())
        return Anchor(newest.number, newest.digest) if newest is not None else Anchor(0, GENESIS)

    async def line(self, number: int) -> HistoryLine | None:
        """Return one line, None where there is none of that number."""
        return await self._lines.first(_EVENTS.c.number == number)

    async def page(
        self,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        *,
        kind: EventKind | None = None,
        subject: str | None = None,
        after: int | None = None,
    ) -> Page[HistoryLine]:
        """Return a page of what happened, of one kind, about one object.

        Newest first; behind line `after`, oldest first. Raises `InvalidValueError`.
        """
        conditions = []
        if kind is not None:
            conditions.append(_EVENTS.c.kind == kind)
        if subject is not None:
            conditions.append(_EVENTS.c.subject == subject)
        if after is None:
            return await self._lines.paged(_NEWEST_FIRST, cursor, limit, *conditions)
        conditions.append(_EVENTS.c.number > after)
        return await self._lines.paged(_OLDEST_FIRST, cursor, limit, *conditions)

    async def after(
        self, number: int, limit: int = MAX_LIMIT, *, up_to: int
    ) -> tuple[HistoryLine, ...]:
        """Return lines behind line `number` and not behind `up_to`, in the order of the chain."""
        between = (_EVENTS.c.number > number, _EVENTS.c.number <= up_to)
        return await self._lines.where(*between, order=_EVENTS.c.number, limit=check_limit(limit))

    async def skip_to(self, number: int) -> None:
        """Let the next line have a number above `number`: those up to it may have been used by a lost history."""
        self._skipped = max(self._skipped, number)

    async def add(self, events: tuple[Event, ...], actor: str) -> None:
        """Add what happened."""
        if not events:
            return
        head = await self.head()
        number, digest = max(head.number, self._skipped), head.digest
        rows = []
        for event in events:
            number += 1
            detail = _shortened(event.detail)
            line = Line(number, event.occurred_at, actor, event.kind, event.subject, detail)
            digest = digest_of(digest, line)
            chained = HistoryLine(
                number, event.occurred_at, actor, event.kind, event.subject, detail, digest
            )
            rows.append(self._lines.values(chained))
        await self._connection.execute(insert(_EVENTS), rows)


def _shortened(detail: str) -> str:
    return detail if len(detail) <= MAX_DETAIL_LENGTH else detail[: MAX_DETAIL_LENGTH - 1] + "…"
