"""Lists a page at a time: each page begins behind the last row of the one before, however many rows were added since.

A cursor holds where a page ended: the values of the columns that the list is ordered by. To its bearer it is opaque;
one that is not of the same list is refused.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, ColumnElement, Row, tuple_, type_coerce
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeDecorator, TypeEngine

from coordinator.domain.errors import InvalidValueError

T = TypeVar("T")
V = TypeVar("V")

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
"""A page of this many is some hundred kilobytes of JSON."""

_MAX_CURSOR_LENGTH = 2048
"""Names have at most 100 characters; a cursor holds two of them, escaped."""

_DIALECT = sqlite.dialect()


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items of a list. `next_cursor` is where the next page begins, None at the end of the list."""

    items: tuple[T, ...]
    next_cursor: str | None

    def of(self, items: "tuple[V, ...]") -> "Page[V]":
        """Return a page with other items in place of these."""
        return Page(items, self.next_cursor)


class Ordering:
    """The order of a list: by these columns, which together are unique."""

    def __init__(self, *columns: Column[Any], descending: bool = False) -> None:
        self._columns = columns
        self._is_descending = descending
        sign = "-" if descending else "+"
        self._name = "".join(f"{sign}{column}" for column in columns)

    @property
    def terms(self) -> tuple[ColumnElement[Any], ...]:
        """Return what a query is ordered by."""
        if self._is_descending:
            return tuple(column.desc() for column in self._columns)
        return tuple(column.asc() for column in self._columns)

    def after(self, cursor: str) -> ColumnElement[bool]:
        """Return the condition that a row comes after a cursor. Raises `InvalidValueError`."""
        kept = [_kept_type(column) for column in self._columns]
        values = self._values(cursor)
        here = tuple_(
            *(type_coerce(column, kind) for column, kind in zip(self._columns, kept, strict=True))
        )
        there = tuple_(*values, types=kept)
        return here < there if self._is_descending else here > there

    def cursor(self, row: Row[Any]) -> str:
        """Return where a page that ends with `row` ends."""
        values = [_kept_value(column, row._mapping[column]) for column in self._columns]  # noqa: SLF001 - public
        text = json.dumps([self._name, *values], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()

    def _values(self, cursor: str) -> list[Any]:
        name, *values = _decoded(cursor)
        if name != self._name or len(values) != len(self._columns):
            raise _invalid_cursor()
        for column, value in zip(self._columns, values, strict=True):
            if not _can_be_kept(value, _kept_type(column).python_type):
                raise _invalid_cursor()
        return values


def check_limit(limit: int) -> int:
    """Return `limit` if a page may have so many items. Raises `InvalidValueError`."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidValueError(
            "invalid-limit",
            f"A page cannot have {limit} items.",
            f"Ask for 1 to {MAX_LIMIT}.",
            field="limit",
        )
    return limit


def _kept_type(column: Column[Any]) -> TypeEngine[Any]:
    kind = column.type
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind


def _kept_value(column: Column[Any], value: object) -> object:
    kind = column.type
    return kind.process_bind_param(value, _DIALECT) if isinstance(kind, TypeDecorator) else value


def _can_be_kept(value: object, kind: type[Any]) -> bool:
    """Tell whether the database has a place for what a bearer may have made up."""
    if type(value) is not kind:
        return False
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    return isinstance(value, int) and -(1 << 63) <= value < 1 << 63


def _decoded(cursor: str) -> list[Any]:
    if len(cursor) > _MAX_CURSOR_LENGTH:
        raise _invalid_cursor()
    try:
        data = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), b"-_", validate=True)
        found = json.loads(data)
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _invalid_cursor() from error
    if not isinstance(found, list) or not found:
        raise _invalid_cursor()
    return found


def _invalid_cursor() -> InvalidValueError:
    return InvalidValueError(
        "invalid-cursor",
        "The cursor is not one of this list.",
        "Take next_cursor from the page before, or begin without a cursor.",
        field="cursor",
    )
