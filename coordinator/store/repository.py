"""Reading and replacing aggregates of one table."""

from dataclasses import fields
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Row, Select, Table, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.errors import RefusedError, UnknownObjectError

T = TypeVar("T")
A = TypeVar("A", bound=Aggregate)

MAX_ROWS = 10_000
"""What one list holds at most: some megabytes of JSON, and more than the hosts one coordinator is made for."""


_COMMANDS = {"machine": "vm"}
"""What operators type where it is not the word itself."""


class Rows(Generic[T]):
    """Frozen dataclasses of one kind in one table: a field is a column."""

    def __init__(self, connection: AsyncConnection, table: Table, kind: type[T]) -> None:
        self._connection = connection
        self._table = table
        self._kind = kind
        self._columns = [table.c[field.name] for field in fields(kind)]  # type: ignore[arg-type]  # a dataclass

    async def where(
        self,
        *conditions: ColumnElement[bool],
        order: ColumnElement[Any] | None = None,
        limit: int = MAX_ROWS,
    ) -> tuple[T, ...]:
        """Return the rows that meet all conditions, at most `limit`."""
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

    def values(self, item: T) -> dict[str, Any]:
        """Return the item as the table keeps it."""
        return {column.name: getattr(item, column.name) for column in self._columns}

    def _select(self) -> Select[Any]:
        return select(*self._columns)

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
    ) -> None:
        super().__init__(connection, table, kind)
        self._word = word
        self._name = table.c[name]

    async def find(self, identifier: str) -> A | None:
        """Return the aggregate with that id, None where there is none."""
        return await self.first(self._table.c.id == identifier)

    async def is_taken(self, name: str) -> bool:
        """Tell whether an aggregate has that name."""
        return await self.first(self._name == name) is not None

    async def get(self, name: str) -> A:
        """Return the aggregate with that id or name.

        Raises `UnknownObjectError`, and `RefusedError` where the name is not unique.
        """
        found = await self.where(or_(self._table.c.id == name, self._name == name), limit=3)
        return the_one(found, self._word, name)

    async def all(self, *, limit: int = MAX_ROWS) -> tuple[A, ...]:
        """Return all aggregates by name."""
        return await self.where(order=self._name, limit=limit)

    async def save(self, aggregate: A) -> None:
        """Keep the aggregate as it is now."""
        values = self.values(aggregate)
        same = self._table.c.id == aggregate.id
        result = await self._connection.execute(update(self._table).where(same).values(values))
        if result.rowcount == 0:
            await self._connection.execute(insert(self._table).values(values))


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
