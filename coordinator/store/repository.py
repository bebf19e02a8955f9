"""Reading and replacing aggregates of one table."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Row,
    Select,
    Table,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.errors import RefusedError, UnknownObjectError
from coordinator.store.paging import DEFAULT_LIMIT, Ordering, Page, check_limit

T = TypeVar("T")
A = TypeVar("A", bound=Aggregate)

MAX_ROWS = 10_000
"""What one list holds at most: some megabytes of JSON, and more than the hosts one coordinator is made for."""

GROUP = 500
"""Values named in one statement: below SQLite's limit of variables on every platform."""

_COMMANDS = {"machine": "vm"}
"""What operators type where it is not the word itself."""


# Every transaction has a repository of each table: what they share is made once.
@cache
def _columns(table: Table, kind: type) -> tuple[Column[Any], ...]:
    return tuple(table.c[field.name] for field in fields(kind))


@cache
def _selection(table: Table, kind: type) -> Select[Any]:
    return select(*_columns(table, kind))


class Rows(Generic[T]):
    """Frozen dataclasses of one kind in one table: a field is a column."""

    def __init__(self, connection: AsyncConnection, table: Table, kind: type[T]) -> None:
        self._connection = connection
        self._table = table
        self._kind = kind
        self._columns = _columns(table, kind)  # type: ignore[arg-type]  # a class is hashable

    async def where(
        self,
        *conditions: ColumnElement[bool],
        order: ColumnElement[Any] | None = None,
        limit: int | None = MAX_ROWS,
    ) -> tuple[T, ...]:
        """Return the rows that meet all conditions, at most `limit`; None is for what has to be whole."""
        query = self._select().where(*conditions).limit(limit)
        if order is not None:
            query = query.order_by(order)
        return tuple(self._value(row) for row in await self._connection.execute(query))

    async def first(
        self, *conditions: ColumnElement[bool], order: ColumnElement[Any] | None = None
    ) -> T | None:
        """Return the first row that meets all conditions, None where there is none."""
        found = await self.where(*conditions, order=order, limit=1)
        return found[0] if found else None

    async def paged(
        self,
        ordering: Ordering,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        *conditions: ColumnElement[bool],
    ) -> Page[T]:
        """Return the next `limit` rows that meet all conditions. Raises `InvalidValueError`."""
        query = self._select().where(*conditions).order_by(*ordering.terms)
        query = query.limit(check_limit(limit) + 1)
        if cursor is not None:
            query = query.where(ordering.after(cursor))
        rows = (await self._connection.execute(query)).all()
        more = ordering.cursor(rows[limit - 1]) if len(rows) > limit else None
        return Page(tuple(self._value(row) for row in rows[:limit]), more)

    def values(self, item: T) -> dict[str, Any]:
        """Return the item as the table keeps it."""
        return {column.name: getattr(item, column.name) for column in self._columns}

    def _select(self) -> Select[Any]:
        return _selection(self._table, self._kind)  # type: ignore[arg-type]  # a class is hashable

    def _value(self, row: Row[Any]) -> T:
        return self._kind(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


class Repository(Rows[A]):
    """Aggregates of one table, found by id or by the name that operators use."""

    def __init__(
        self,
        connection: AsyncConnection,
        table: Table,
        kind: type[A],
        *,
        word: str,
        name: str = "id",
        other_id: str | None = None,
        ordering: Ordering | None = None,
    ) -> None:
        """`other_id` is a column that tells its aggregates apart as their own ids do."""
        super().__init__(connection, table, kind)
        self._word = word
        self._name = table.c[name]
        self._other_id = table.c[other_id] if other_id is not None else None
        by_name = (self._name,) if name == "id" else (self._name, table.c.id)
        self._ordering = ordering or Ordering(*by_name)

    async def find(self, identifier: str) -> A | None:
        """Return the aggregate with that id, None where there is none."""
        return await self.first(self._table.c.id == identifier)

    async def is_taken(self, name: str) -> bool:
        """Tell whether an aggregate has that name."""
        return await self.first(self._name == name) is not None

    async def get(self, name: str) -> A:
        """Return the aggregate with that id, else the one with that name: nobody hides a thing by naming another so.

        Raises `UnknownObjectError`, and `RefusedError` where the name is not unique.
        """
        found = await self.where(self._table.c.id == name, limit=1)
        if not found and self._other_id is not None:
            found = await self.where(self._other_id == name, limit=1)
        if not found:
            found = await self.where(self._name == name, limit=3)
        return the_one(found, self._word, name)

    async def these(self, identifiers: Iterable[str]) -> tuple[A, ...]:
        """Return the aggregates that have one of these ids."""
        found: list[A] = []
        for group in groups(sorted(identifiers)):
            found += await self.where(self._table.c.id.in_(group), limit=None)
        return tuple(found)

    async def all(self, *, limit: int | None = MAX_ROWS) -> tuple[A, ...]:
        """Return all aggregates by name."""
        return await self.where(order=self._name, limit=limit)

    async def page(
        self,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        *conditions: ColumnElement[bool],
    ) -> Page[A]:
        """Return a page of the list in its usual order. Raises `InvalidValueError`."""
        return await self.paged(self._ordering, cursor, limit, *conditions)

    async def remove(self, aggregate: A) -> None:
        """Keep the aggregate no more."""
        same = self._table.c.id == aggregate.id
        await self._connection.execute(delete(self._table).where(same))

    async def named(self, name: str) -> A | None:
        """Return the aggregate with that name, None where there is none; an id is not a name."""
        return await self.first(self._name == name)

    async def save(self, aggregate: A) -> None:
        """Keep the aggregate as it is now."""
        values = self.values(aggregate)
        same = self._table.c.id == aggregate.id
        result = await self._connection.execute(update(self._table).where(same).values(values))
        if result.rowcount == 0:
            await self._connection.execute(insert(self._table).values(values))


def groups(values: Sequence[T]) -> list[Sequence[T]]:
    """Return the values in portions that one statement may name."""
    return [values[start : start + GROUP] for start in range(0, len(values), GROUP)]


def the_one(found: tuple[T, ...], word: str, name: str) -> T:
    """Return the only item that was found under `name`, or say what else was found."""
    noun = word.replace(" ", "-")
    command = f"replikera {_COMMANDS.get(noun, noun)} list"
    if not found:
        raise UnknownObjectError(
            f"unknown-{noun}", f"There is no {word} {name}.", f"See: {command}."
        )
    if len(found) > 1:
        raise RefusedError(
            "ambiguous-name",
            f"More than one {word} has the name {name}.",
            f"Use the id that {command} shows.",
        )
    return found[0]
