"""JSON with one spelling per value, so that equal values have equal digests."""

import json
from datetime import UTC, datetime
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"


class SegmentFormatError(ValueError):
    """The bytes are not what docs/segment-format.md describes; the message says which field."""


def encode_canonical(value: Json) -> bytes:
    """Return sorted keys, no spaces, UTF-8."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def decode_canonical(data: bytes, what: str) -> Json:
    """Return the value. Raises `SegmentFormatError` for any other spelling of it."""
    try:
        value: Json = json.loads(data)
        is_canonical = encode_canonical(value) == data
    except (ValueError, RecursionError) as error:
        raise SegmentFormatError(f"{what} is not JSON: {error}") from error
    if not is_canonical:
        raise SegmentFormatError(f"{what} is not in canonical form")
    return value


def object_of(value: Json, keys: frozenset[str], what: str) -> dict[str, Json]:
    """Return `value` as an object with exactly these keys."""
    if not isinstance(value, dict) or value.keys() != keys:
        raise SegmentFormatError(f"{what} is not an object of {', '.join(sorted(keys))}")
    return value


def text_of(fields: dict[str, Json], key: str, limit: int) -> str:
    """Return a string field of at most `limit` characters."""
    value = fields[key]
    if not isinstance(value, str) or len(value) > limit:
        raise SegmentFormatError(f"{key} is not a text of at most {limit} characters")
    return value


def number_of(fields: dict[str, Json], key: str, limit: int) -> int:
    """Return an integer field from 0 to `limit`."""
    value = fields[key]
    if type(value) is not int or not 0 <= value <= limit:
        raise SegmentFormatError(f"{key} is not an integer from 0 to {limit}")
    return value


def format_instant(instant: datetime) -> str:
    """Return RFC 3339 in UTC with microseconds."""
    if instant.tzinfo is None:
        raise SegmentFormatError(f"{instant} has no time zone")
    return instant.astimezone(UTC).strftime(_INSTANT)


def parse_instant(fields: dict[str, Json], key: str) -> datetime:
    """Return an instant field; only the spelling of `format_instant` is one."""
    text = text_of(fields, key, 27)
    try:
        instant = datetime.strptime(text, _INSTANT).replace(tzinfo=UTC)
    except ValueError as error:
        raise SegmentFormatError(f"{key} is not an instant: {text!r}") from error
    if format_instant(instant) != text:
        raise SegmentFormatError(f"{key} is not in canonical form: {text!r}")
    return instant
