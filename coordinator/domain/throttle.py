"""Throttle windows: when a source sends how much at most, by its own clock."""

from collections.abc import Collection
from dataclasses import dataclass

from coordinator.domain.errors import InvalidValueError

MAX_WINDOWS = 32
MINUTES_A_DAY = 24 * 60
ALL_WEEKDAYS = 0b111_1111
MAX_RATE = 1 << 40
"""Bytes a second that no network of today carries."""


@dataclass(frozen=True, slots=True)
class ThrottleWindow:
    """A limit on some days at some time. Bit 0 of `weekdays` is Monday, bit 6 Sunday; minutes count from midnight.

    An end that is not after the start is on the next day. `bytes_per_second` of 0 is "nothing at all". Of several
    windows the first that holds at a moment limits; without one nothing does.
    """

    weekdays: int
    start_minute: int
    end_minute: int
    bytes_per_second: int


def check_windows(windows: Collection[ThrottleWindow]) -> None:
    """Refuse windows that no source could obey. Raises `InvalidValueError`."""
    if len(windows) > MAX_WINDOWS:
        raise _invalid(
            f"{len(windows)} throttle windows are too many.", f"Name {MAX_WINDOWS} at most."
        )
    for number, window in enumerate(windows, 1):
        _check_window(number, window)


def _check_window(number: int, window: ThrottleWindow) -> None:
    if not 0 < window.weekdays <= ALL_WEEKDAYS:
        raise _invalid(
            f"Throttle window {number} holds on no day of the week.",
            "Name its days: bit 0 is Monday, bit 6 Sunday.",
        )
    if not (0 <= window.start_minute < MINUTES_A_DAY and 0 <= window.end_minute <= MINUTES_A_DAY):
        raise _invalid(
            f"Throttle window {number} begins or ends outside of a day.",
            f"Choose minutes since midnight: a start of 0 to {MINUTES_A_DAY - 1}, an end of 0 to {MINUTES_A_DAY}.",
        )
    if not 0 <= window.bytes_per_second <= MAX_RATE:
        raise _invalid(
            f"Throttle window {number} limits to {window.bytes_per_second} bytes a second.",
            f"Choose 0, which is nothing at all, to {MAX_RATE}.",
        )


def _invalid(cause: str, remedy: str) -> InvalidValueError:
    return InvalidValueError("invalid-throttle", cause, remedy, field="throttle")
