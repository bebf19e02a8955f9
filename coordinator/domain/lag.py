"""How old the newest sealed state is, by clocks of which none is trusted alone.

The start of a capture is by the source's clock. A point is also no younger than the moment at which the vault first
heard of it, by the vault's own: a source whose clock is ahead does not make it younger.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

CLOCK_TOLERANCE = timedelta(seconds=5)
"""By this much a source's clock may be ahead of the vault's before lag is called unknown."""


@dataclass(frozen=True, slots=True)
class NewestState:
    """When the capture of the newest sealed state began, and when the vault first heard of it, None if not kept."""

    captured_at: datetime
    heard_at: datetime | None = None


def lag(newest: NewestState | None, now: datetime) -> timedelta | None:
    """Return how old the newest sealed state is, None where that cannot be told."""
    if newest is None or newest.captured_at > now + CLOCK_TOLERANCE:
        return None
    return max(now - newest.captured_at, age_at_least(newest, now))


def age_at_least(newest: NewestState, now: datetime) -> timedelta:
    """Return how old it is at the very least, whatever the source's clock says."""
    return max(timedelta(0), now - (newest.heard_at or now))
