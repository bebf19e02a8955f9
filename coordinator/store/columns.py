"""How values of the domain are kept in columns: exactly, and comparable by the database."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import BigInteger, Dialect, Text
from sqlalchemy.types import TypeDecorator
from typing_extensions import override

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware time as microseconds since 1970 in UTC: no zone is lost, order is order."""

    impl = BigInteger
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    @override
    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + value * _MICROSECOND


class Span(TypeDecorator[timedelta]):
    """A duration as microseconds."""

    impl = BigInteger
    cache_ok = True

    @override
    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:
        return None if value is None else value // _MICROSECOND

    @override
    def process_result_value(self, value: int | None, dialect: Dialect) -> timedelta | None:
        return None if value is None else value * _MICROSECOND


class Word(TypeDecorator[E]):
    """A member of an enumeration as its text."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[E]) -> None:
        super().__init__()
        self.kind = kind

    @override
    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:
        return None if value is None else self.kind(value)


class Json(TypeDecorator[T]):
    """A value without an identity of its own as JSON."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[T]) -> None:
        super().__init__()
        self.kind = kind
        self._adapter = TypeAdapter(kind)

    @override
    def process_bind_param(self, value: T | None, dialect: Dialect) -> str | None:
        return None if value is None else self._adapter.dump_json(value).decode()

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> T | None:
        return None if value is None else self._adapter.validate_json(value)


class TaggedJson(TypeDecorator[T]):
    """One of several dataclasses as `{"<tag>": {...}}`."""

    impl = Text
    cache_ok = True

    def __init__(self, kinds: Mapping[str, type[Any]]) -> None:
        super().__init__()
        # By this compiled statements are recognised; a mapping would have each compiled anew.
        self.kinds = tuple(kinds.items())
        self._tags = {kind: tag for tag, kind in kinds.items()}
        self._adapters = {tag: TypeAdapter[Any](kind) for tag, kind in kinds.items()}

    @override
    def process_bind_param(self, value: T | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        tag = self._tags[type(value)]
        return f'{{"{tag}":{self._adapters[tag].dump_json(value).decode()}}}'

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> T | None:
        if value is None:
            return None
        ((tag, content),) = _OBJECT.validate_json(value).items()
        found: T = self._adapters[tag].validate_python(content)
        return found


_OBJECT = TypeAdapter(dict[str, dict[str, Any]])
