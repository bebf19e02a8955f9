"""The vault's copy of what targets say they hold."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.domain.identifiers import Generation, ProtectionId
from coordinator.domain.points import PointChanges, PointReport, RecoveryPoint
from coordinator.domain.protections import Protection
from coordinator.store import schema
from coordinator.store.repository import MAX_ROWS, Rows

_POINTS = schema.points
_GROUP = 500
"""Sequences named in one statement: below SQLite's limit of variables on every platform."""


class Points:
    """Recovery points of all protections."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._rows = Rows(connection, _POINTS, RecoveryPoint)

    async def newest(self, protection: Protection) -> RecoveryPoint | None:
        """Return the newest point of the protection's present generation."""
        return await self._rows.first(
            _lineage(protection.id, protection.generation), order=_POINTS.c.sequence.desc()
        )

    async def find(self, protection: Protection, sequence: int) -> RecoveryPoint | None:
        """Return one point of the protection's present generation."""
        return await self._rows.first(
            _lineage(protection.id, protection.generation), _POINTS.c.sequence == sequence
        )

    async def listed(self, protection: Protection) -> tuple[RecoveryPoint, ...]:
        """Return points of the present generation, newest first, at most `MAX_ROWS`."""
        return await self._rows.where(
            _lineage(protection.id, protection.generation),
            order=_POINTS.c.sequence.desc(),
            limit=MAX_ROWS,
        )

    async def known(self, report: PointReport) -> dict[int, bytes]:
        """Return digests by sequence: of all points for a complete report, else of those it names."""
        if report.is_complete:
            return await self._digests(_lineage(report.protection_id, report.generation))
        named = [*(point.sequence for point in report.points), *report.released]
        found: dict[int, bytes] = {}
        for group in _groups(named):
            lineage = _lineage(report.protection_id, report.generation)
            found |= await self._digests(and_(lineage, _POINTS.c.sequence.in_(group)))
        return found

    async def apply(self, changes: PointChanges) -> None:
        """Keep the changes to one generation's list."""
        if changes.added:
            rows = [self._rows.values(point) for point in changes.added]
            await self._connection.execute(insert(_POINTS), rows)
        for group in _groups(changes.released):
            lineage = _lineage(changes.protection_id, changes.generation)
            await self._connection.execute(
                delete(_POINTS).where(lineage, _POINTS.c.sequence.in_(group))
            )

    async def _digests(self, condition: ColumnElement[bool]) -> dict[int, bytes]:
        query = select(_POINTS.c.sequence, _POINTS.c.chain_digest).where(condition)
        rows = await self._connection.execute(query)
        return {row.sequence: row.chain_digest for row in rows}


def _lineage(protection_id: ProtectionId, generation: Generation) -> ColumnElement[bool]:
    return and_(_POINTS.c.protection_id == protection_id, _POINTS.c.generation == generation)


def _groups(sequences: Sequence[int]) -> list[Sequence[int]]:
    return [sequences[start : start + _GROUP] for start in range(0, len(sequences), _GROUP)]
