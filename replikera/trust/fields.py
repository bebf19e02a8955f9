"""Fields of signed contents: read strictly, refused by name."""

import re
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class FieldError(ValueError):
    """A field of a signed content does not hold what it should."""


def read_id(name: str, text: str) -> str:
    """Return an id: 1 to 64 characters that may stand in a path."""
    if _ID.fullmatch(text) is None:
        raise FieldError(f"{name} {text[:64]!r} is not an id")
    return text


def read_number(name: str, number: int) -> int:
    """Return a number that counts from 1."""
    if number < 1:
        raise FieldError(f"{name} is {number}")
    return number


def read_time(name: str, stamp: Timestamp) -> datetime:
    """Return an instant, in UTC."""
    try:
        instant = stamp.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise FieldError(f"{name} is not a time: {error}") from error
    if stamp.seconds <= 0:
        raise FieldError(f"{name} is missing")
    return instant


def time_stamp(instant: datetime) -> Timestamp:
    """Return an instant as a message has it."""
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp
