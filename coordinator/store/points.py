"""The vault's copy of what targets say they hold."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    Column,
    ColumnElement,
    Float,
    and_,
    cast,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.domain.identifiers import Generation, ProtectionId
from coordinator.domain.point_selection import NEWEST, PointSelector
from coordinator.domain.points import (
    MAX_INTEGER,
    PointChanges,
    PointKind,
    PointReport,
    RecoveryPoint,
)
from coordinator.domain.protections import Protection
from coordinator.store import schema
from coordinator.store.paging import DEFAULT_LIMIT, Ordering, Page
from coordinator.store.repository import Rows, groups

_POINTS = schema.points
_PROCESSED = schema.processed_points
_PROTECTIONS = schema.protections
_OTHERS = _POINTS.alias()
_AT_THE_END = (
    _POINTS.c.protection_id == _PROTECTIONS.c.id,
    _POINTS.c.generation == _PROTECTIONS.c.generation,
    # Found at the end of an index, however many points a lineage has.
    _POINTS.c.sequence
    == select(func.max(_OTHERS.c.sequence))
    .where(
        _OTHERS.c.protection_id == _PROTECTIONS.c.id,
        _OTHERS.c.generation == _PROTECTIONS.c.generation,
    )
    .scalar_subquery(),
)
_NEWEST_FIRST = Ordering(_POINTS.c.sequence, descending=True)


@dataclass(frozen=True, slots=True)
class PointFilter:
    """Which points a list shows: of one kind, whose capture began in a stretch of time without its end; None is all."""

    kind: PointKind | None = None
    captured_from: datetime | None = None
    captured_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class PointTotals:
    """All points of one generation together; the sequence is 0 where there is none."""

    count: int
    payload_bytes: int
    oldest_sequence: int


EVERYTHING = PointFilter()


class Points:
    """Recovery points of all protections."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._rows = Rows(connection, _POINTS, RecoveryPoint)

    async def newest(self, protection: Protection) -> RecoveryPoint | None:
        """Return the newest point of the protection's present generation."""
        return await self.selected(protection, NEWEST)

    async def selected(
        self, protection: Protection, selector: PointSelector
    ) -> RecoveryPoint | None:
        """Return the newest point of the present generation that meets a selector, None where none does."""
        return await self._rows.first(
            _lineage(protection.id, protection.generation),
            *_selecting(selector),
            order=_POINTS.c.sequence.desc(),
        )

    async def totals(self, protection: Protection) -> PointTotals:
        """Return what the points of the present generation are together."""
        query = select(
            func.count(),
            # What targets claim may not fit a whole number of the database.
            func.sum(cast(_POINTS.c.payload_bytes, Float)),
            func.min(_POINTS.c.sequence),
        ).where(_lineage(protection.id, protection.generation))
        count, payload, oldest = (await self._connection.execute(query)).one()
        return PointTotals(count, min(int(payload or 0), MAX_INTEGER), oldest or 0)

    async def newest_of(
        self, protections: Iterable[Protection]
    ) -> dict[ProtectionId, RecoveryPoint]:
        """Return the newest point of the present generation of each of these, where it has one."""
        found: dict[ProtectionId, RecoveryPoint] = {}
        for group in groups([protection.id for protection in protections]):
            points = await self._rows.where(*_AT_THE_END, _PROTECTIONS.c.id.in_(group), limit=None)
            found |= {point.protection_id: point for point in points}
        return found

    async def find(self, protection: Protection, sequence: int) -> RecoveryPoint | None:
        """Return one point of the protection's present generation."""
        return await self._rows.first(
            _lineage(protection.id, protection.generation), _POINTS.c.sequence == sequence
        )

    async def page(
        self,
        protection: Protection,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        wanted: PointFilter = EVERYTHING,
    ) -> Page[RecoveryPoint]:
        """Return a page of the points of the present generation, newest first. Raises `InvalidValueError`."""
        lineage = _lineage(protection.id, protection.generation)
        return await self._rows.paged(_NEWEST_FIRST, cursor, limit, lineage, *_filtering(wanted))

    async def known(self, report: PointReport) -> dict[int, tuple[bytes, ...]]:
        """Return by sequence the digests that were told of the points that a report has."""
        named = [point.sequence for point in report.points]
        found: dict[int, tuple[bytes, ...]] = {}
        for group in groups(named):
            lineage = _lineage(report.protection_id, report.generation)
            found |= await self._digests(and_(lineage, _POINTS.c.sequence.in_(group)))
        return found

    async def apply(self, changes: PointChanges) -> None:
        """Keep the changes to one generation's list."""
        if changes.added:
            rows = [self._rows.values(point) for point in changes.added]
            await self._connection.execute(insert(_POINTS), rows)
        lineage = _lineage(changes.protection_id, changes.generation)
        gone: list[ColumnElement[bool]] = [
            _POINTS.c.sequence.in_(group) for group in groups(changes.released)
        ]
        if (covered := changes.covered) is not None:
            # By the database: however many go, none is loaded.
            within = _POINTS.c.sequence.between(covered.first, covered.last)
            gone.append(and_(within, _POINTS.c.sequence.not_in(changes.named)))
        for condition in gone:
            await self._connection.execute(delete(_POINTS).where(lineage, condition))
        for sequence, digest in changes.doubtful:
            of_it = and_(lineage, _POINTS.c.sequence == sequence)
            await self._connection.execute(update(_POINTS).where(of_it).values(other_digest=digest))
        await self._note_processed(changes)

    async def _note_processed(self, changes: PointChanges) -> None:
        lineage = _processed(changes.protection_id, changes.generation)
        known = await self._connection.scalar(select(_PROCESSED.c.sequence).where(lineage))
        if known == changes.processed:
            return
        statement = insert(_PROCESSED) if known is None else update(_PROCESSED).where(lineage)
        values = {
            "protection_id": changes.protection_id,
            "generation": changes.generation,
            "sequence": changes.processed,
        }
        await self._connection.execute(statement.values(values))

    async def _digests(self, condition: ColumnElement[bool]) -> dict[int, tuple[bytes, ...]]:
        columns = (_POINTS.c.sequence, _POINTS.c.chain_digest, _POINTS.c.other_digest)
        rows = await self._connection.execute(select(*columns).where(condition))
        return {
            row.sequence: tuple(
                digest for digest in (row.chain_digest, row.other_digest) if digest is not None
            )
            for row in rows
        }


def _selecting(selector: PointSelector) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if selector.kind is not None:
        conditions.append(_POINTS.c.kind == selector.kind)
    if selector.not_after is not None:
        conditions.append(_POINTS.c.capture_ended_at <= selector.not_after)
    if selector.sequence is not None:
        conditions.append(_POINTS.c.sequence == selector.sequence)
    if selector.generation is not None:
        conditions.append(_POINTS.c.generation == selector.generation)
    if selector.name is not None:
        conditions.append(_POINTS.c.name == selector.name)
    if selector.is_processed:
        lineage = _processed(_POINTS.c.protection_id, _POINTS.c.generation)
        processed = select(_PROCESSED.c.sequence).where(lineage).scalar_subquery()
        conditions.append(_POINTS.c.sequence <= processed)
    return conditions


def _filtering(wanted: PointFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.kind is not None:
        conditions.append(_POINTS.c.kind == wanted.kind)
    if wanted.captured_from is not None:
        conditions.append(_POINTS.c.capture_started_at >= wanted.captured_from)
    if wanted.captured_until is not None:
        conditions.append(_POINTS.c.capture_started_at < wanted.captured_until)
    return conditions


def _lineage(protection_id: ProtectionId, generation: Generation) -> ColumnElement[bool]:
    return and_(_POINTS.c.protection_id == protection_id, _POINTS.c.generation == generation)


def _processed(
    protection_id: ProtectionId | Column[str], generation: Generation | Column[str]
) -> ColumnElement[bool]:
    return and_(_PROCESSED.c.protection_id == protection_id, _PROCESSED.c.generation == generation)
