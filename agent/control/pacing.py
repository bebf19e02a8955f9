"""Soft state on its way up: the newest value of every subject, not more often than its reader needs it."""

from typing import Generic, TypeVar

T = TypeVar("T")

MAX_SUBJECTS = 2048
"""Protections or orders of one host; a value beyond is dropped, as soft state may be."""


class Pacer(Generic[T]):
    """Keeps one value a subject. Nobody ever waits for it, and it never grows beyond its subjects."""

    def __init__(self, interval: float, *, is_repeated: bool = False) -> None:
        """With `is_repeated` a value is due again after the interval, until its subject is forgotten."""
        self._interval = interval
        self._is_repeated = is_repeated
        self._values: dict[str, T] = {}
        self._due_at: dict[str, float] = {}
        self._unsent: set[str] = set()

    def put(self, subject: str, value: T, *, is_urgent: bool) -> None:
        """Replace the subject's value; an urgent one does not wait for the interval."""
        if subject not in self._values and len(self._values) >= MAX_SUBJECTS:
            return
        self._values[subject] = value
        self._unsent.add(subject)
        if is_urgent:
            self._due_at.pop(subject, None)

    def latest(self, subject: str) -> T | None:
        """Return the subject's newest value."""
        return self._values.get(subject)

    def take(self, now: float) -> list[T]:
        """Return the values that are due."""
        due = sorted(s for s in self._unsent if self._due_at.get(s, now) <= now)
        for subject in due:
            self._due_at[subject] = now + self._interval
        if not self._is_repeated:
            self._unsent.difference_update(due)
        return [self._values[subject] for subject in due]

    def repeat(self) -> None:
        """Make every value due again: somebody new is listening."""
        self._unsent = set(self._values)
        self._due_at.clear()

    def forget(self, subject: str) -> None:
        """Drop a subject."""
        self._values.pop(subject, None)
        self._due_at.pop(subject, None)
        self._unsent.discard(subject)
