"""Values as people read them. What is not known says so; it is never shown as 0."""

import math
from datetime import UTC, datetime

UNKNOWN = "unknown"
_BYTE_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def printable(text: str) -> str:
    """Return `text` on one line and without control characters: names come from other machines."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def plain(value: object) -> str:
    """Return any value as text."""
    match value:
        case None | "":
            return UNKNOWN
        case bool():
            return "yes" if value else "no"
        case _:
            return printable(str(value))


def number(value: object) -> float | None:
    """Return a finite number that is not negative, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def size(value: object) -> str:
    """Return a count of bytes with a unit."""
    amount = number(value)
    if amount is None:
        return UNKNOWN
    unit = 0
    while amount >= 1024 and unit < len(_BYTE_UNITS) - 1:
        amount /= 1024
        unit += 1
    digits = 0 if unit == 0 else 1
    return f"{amount:.{digits}f} {_BYTE_UNITS[unit]}"


def rate(value: object) -> str:
    """Return bytes per second with a unit."""
    text = size(value)
    return text if text == UNKNOWN else f"{text}/s"


def duration(value: object) -> str:
    """Return seconds in their two largest units, rounded up: a lag is never shown better than it is."""
    seconds = number(value)
    if seconds is None:
        return UNKNOWN
    whole = math.ceil(seconds)
    for length, step in ((86400, 3600), (3600, 60)):
        if whole >= length:
            whole = -(-whole // step) * step
            break
    parts = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, length)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def measured(value: object) -> str:
    """Return measured seconds to the hundredth."""
    seconds = number(value)
    return UNKNOWN if seconds is None else f"{seconds:.2f} s"


def parse_instant(value: object) -> datetime | None:
    """Return an RFC 3339 time, None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed.astimezone(UTC) if parsed.tzinfo is not None else None


def instant(value: object) -> str:
    """Return a time of the vault in UTC, to the second."""
    parsed = parse_instant(value)
    return UNKNOWN if parsed is None else f"{parsed:%Y-%m-%d %H:%M:%S}Z"


def precise_instant(value: object) -> str:
    """Return a time of the vault in UTC, to the millisecond: points are often less than a second apart."""
    parsed = parse_instant(value)
    return (
        UNKNOWN
        if parsed is None
        else f"{parsed:%Y-%m-%d %H:%M:%S}.{parsed.microsecond // 1000:03}Z"
    )


def age(value: object, now: object) -> str:
    """Return how long before `now` something was, both by the vault's clock."""
    then, present = parse_instant(value), parse_instant(now)
    if then is None or present is None:
        return UNKNOWN
    return f"{duration(max(0.0, (present - then).total_seconds()))} ago"
