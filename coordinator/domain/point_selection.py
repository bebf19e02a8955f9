"""Which recovery point is meant: the one place that understands what operators and plans write for one.

    latest                            the newest point
    latest-processed                  the newest one that its target has applied
    latest-application-consistent     the newest one that is application-consistent
    2026-03-01T12:00:00Z              the newest one that holds nothing newer than that
    name:before patch day             the newest one with that name
    17                                the point of that sequence
    <generation>:17                   the same, refused where the lineage is not that one

Whatever is written, it means the newest point of the protection's present generation that meets a condition.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from coordinator.domain.errors import InvalidValueError, UnknownObjectError
from coordinator.domain.identifiers import Generation
from coordinator.domain.points import MAX_INTEGER, PointKind, RecoveryPoint

LATEST = "latest"
LATEST_PROCESSED = "latest-processed"
NAME_PREFIX = "name:"
LATEST_APPLICATION_CONSISTENT = "latest-application-consistent"
MAX_SELECTOR_LENGTH = 128
"""A generation, a colon and 19 digits are 56 characters."""

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_EXACT = re.compile(rf"(?:(?P<generation>{_UUID}):)?(?P<sequence>[1-9][0-9]{{0,18}})")
_SHAPES = (
    "Write latest, latest-processed, latest-application-consistent, a time with its zone as in 2026-03-01T12:00:00Z, "
    "a number that replikera point list shows, or name: and the name of a point."
)


@dataclass(frozen=True, slots=True)
class PointSelector:
    """What the newest point that meets it has to be; None is anything. `text` is what was written.

    With `is_processed` it must be applied: no newer than the point that the target's base is.
    """

    text: str
    kind: PointKind | None = None
    not_after: datetime | None = None
    sequence: int | None = None
    generation: Generation | None = None
    is_processed: bool = False
    name: str | None = None

    def admits(self, point: RecoveryPoint, processed: int) -> bool:
        """Tell whether a point meets it; `processed` is the newest one that the target has applied, 0 for none.

        A state is that of the end of its capture: what was written before a time is in it, what came after is not.
        """
        return (
            (self.kind is None or point.kind is self.kind)
            and (self.not_after is None or point.capture_ended_at <= self.not_after)
            and (self.sequence is None or point.sequence == self.sequence)
            and (self.generation is None or point.generation == self.generation)
            and (not self.is_processed or point.sequence <= processed)
            and (self.name is None or point.name == self.name)
        )

    def refusal(self, machine_name: str) -> UnknownObjectError:
        """Return why nothing was selected."""
        return UnknownObjectError(
            "unknown-point",
            f"Machine {machine_name} has no recovery point that {self.text} means.",
            f"See: replikera point list {machine_name}.",
        )


NEWEST = PointSelector(LATEST)
NEWEST_PROCESSED = PointSelector(LATEST_PROCESSED, is_processed=True)
NEWEST_APPLICATION_CONSISTENT = PointSelector(
    LATEST_APPLICATION_CONSISTENT, kind=PointKind.APPLICATION_CONSISTENT
)

_WORDS = {one.text: one for one in (NEWEST, NEWEST_PROCESSED, NEWEST_APPLICATION_CONSISTENT)}


def parse(text: str, *, field: str = "point") -> PointSelector:
    """Return what a text means. Raises `InvalidValueError`."""
    if (known := _WORDS.get(text)) is not None:
        return known
    if (
        text.startswith(NAME_PREFIX)
        and len(text) > len(NAME_PREFIX)
        and len(text) <= MAX_SELECTOR_LENGTH
    ):
        return PointSelector(text, name=text.removeprefix(NAME_PREFIX))
    exact = _EXACT.fullmatch(text) if len(text) <= MAX_SELECTOR_LENGTH else None
    if exact is not None and int(exact["sequence"]) <= MAX_INTEGER:
        named = exact["generation"]
        generation = Generation(named) if named is not None else None
        return PointSelector(text, sequence=int(exact["sequence"]), generation=generation)
    moment = _moment(text)
    if moment is None:
        raise InvalidValueError(
            "invalid-point",
            f"{text[:MAX_SELECTOR_LENGTH]!r} is not a recovery point.",
            _SHAPES,
            field=field,
        )
    return PointSelector(text, not_after=moment)


def select(
    points: Iterable[RecoveryPoint], selector: PointSelector, processed: int
) -> RecoveryPoint | None:
    """Return the newest of the points of one generation that meets a selector, None where none does."""
    admitted = (point for point in points if selector.admits(point, processed))
    return max(admitted, key=lambda point: point.sequence, default=None)


def _moment(text: str) -> datetime | None:
    if len(text) > MAX_SELECTOR_LENGTH:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
