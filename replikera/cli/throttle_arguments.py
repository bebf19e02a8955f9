"""What people type for limits of the network at some times, and how they are shown again."""

import re
from dataclasses import dataclass

import typer

from replikera.cli.byte_sizes import parse_size
from replikera.cli.records import Record
from replikera.cli.wording import UNKNOWN, number, rate

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAILY = "daily"
_EVERY_DAY = 0b111_1111
_MINUTES_A_DAY = 24 * 60
_TIME = re.compile(r"(?P<hours>[0-9]{2}):(?P<minutes>[0-5][0-9])")
_FORM = (
    '"DAYS HH:MM-HH:MM RATE", as in "mon-fri 08:00-18:00 10MiB/s", "sat,sun 22:00-06:00 0" or '
    '"daily 00:00-24:00 1G/s"'
)


@dataclass(frozen=True, slots=True)
class ThrottleWindow:
    """A limit in bytes a second, 0 for nothing at all. Bit 0 of `weekdays` is Monday; minutes count from midnight."""

    weekdays: int
    start_minute: int
    end_minute: int
    bytes_per_second: int

    def as_body(self) -> dict[str, int]:
        """Return the window as the vault takes it."""
        return {
            "weekdays": self.weekdays,
            "start_minute": self.start_minute,
            "end_minute": self.end_minute,
            "bytes_per_second": self.bytes_per_second,
        }


def parse_throttle(text: str) -> ThrottleWindow:
    """Return what "mon-fri 08:00-18:00 10MiB/s" means; the times are those of the source host's clock."""
    parts = text.lower().split()
    if len(parts) != 3:
        raise typer.BadParameter(f"{text!r} is not a throttle window: write {_FORM}.")
    days, times, limit = parts
    start, dash, end = times.partition("-")
    if not dash:
        raise typer.BadParameter(f"{times!r} is not a stretch of a day: write {_FORM}.")
    return ThrottleWindow(
        _days(days), _minute(start, is_end=False), _minute(end, is_end=True), _limit(limit)
    )


def throttle_text(window: Record) -> str:
    """Return a window of the vault as it would be typed."""
    bits = number(window.get("weekdays"))
    start, end = number(window.get("start_minute")), number(window.get("end_minute"))
    if bits is None or start is None or end is None:
        return UNKNOWN
    limit = window.get("bytes_per_second")
    speed = "nothing at all" if limit == 0 else rate(limit)
    return f"{_days_text(int(bits))} {_time_text(int(start))}-{_time_text(int(end))} {speed}"


def _days(text: str) -> int:
    if text == _DAILY:
        return _EVERY_DAY
    bits = 0
    for part in text.split(","):
        first, dash, last = part.partition("-")
        at, until = _day(first), _day(last if dash else first)
        while at != until:  # "sat-mon" goes over the end of the week
            bits |= 1 << at
            at = (at + 1) % len(DAYS)
        bits |= 1 << until
    return bits


def _day(text: str) -> int:
    if text not in DAYS:
        raise typer.BadParameter(f"{text!r} is not a day: write {', '.join(DAYS)} or {_DAILY}.")
    return DAYS.index(text)


def _minute(text: str, *, is_end: bool) -> int:
    match = _TIME.fullmatch(text)
    minute = int(match["hours"]) * 60 + int(match["minutes"]) if match is not None else None
    latest = _MINUTES_A_DAY if is_end else _MINUTES_A_DAY - 1
    if minute is None or minute > latest:
        raise typer.BadParameter(
            f"{text!r} is not a time of a day: write HH:MM, as in 08:00; 24:00 ends a day."
        )
    return minute


def _limit(text: str) -> int:
    amount = text.removesuffix("/s")
    return 0 if amount == "0" else parse_size(amount).count


def _days_text(bits: int) -> str:
    if bits == _EVERY_DAY:
        return _DAILY
    named = [at for at in range(len(DAYS)) if bits >> at & 1]
    if len(named) > 2 and named == list(range(named[0], named[-1] + 1)):
        return f"{DAYS[named[0]]}-{DAYS[named[-1]]}"
    return ",".join(DAYS[at] for at in named) or UNKNOWN


def _time_text(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
