"""How long a target keeps its points, as far as the vault knows."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from coordinator.domain.points import RecoveryPoint

_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class KeptPoint:
    """A point, and until when its target keeps it at least; None is as long as it is the newest."""

    point: RecoveryPoint
    retained_until: datetime | None


@dataclass(frozen=True, slots=True)
class PointsHeld:
    """What a target holds of one protection. `payload_bytes` is what the segments of all these points carried."""

    count: int
    payload_bytes: int
    oldest: KeptPoint | None
    newest: KeptPoint | None
    newest_application_consistent: KeptPoint | None


def kept(point: RecoveryPoint, newest_sequence: int, retention: timedelta) -> KeptPoint:
    """Return a point with the end of its retention, which counts from when it was sealed."""
    if point.sequence >= newest_sequence:
        return KeptPoint(point, None)
    # A target's clock may have said anything.
    is_endless = point.sealed_at > _END_OF_TIME - retention
    return KeptPoint(point, _END_OF_TIME if is_endless else point.sealed_at + retention)
