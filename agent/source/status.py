"""How a protection's replication stands, as its source sees it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ReplicationState(StrEnum):
    """`WAITING`: something keeps the source from sending, and it tries again by itself."""

    INITIAL = "initial"
    REPLICATING = "replicating"
    WAITING = "waiting"
    RESYNC_REQUIRED = "resync-required"


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong and what to do, for an operator to read as it stands."""

    code: str
    cause: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ReplicationStatus:
    """Progress is that of the present or last segment; `rate` is its bytes a second.

    `done_bytes` and `total_bytes` count guest-visible bytes, sent or found to be zeros. Lag counts from
    `acknowledged_capture_started_at`, None while the target has sealed nothing.
    """

    protection_id: str
    state: ReplicationState
    failure: Failure | None
    done_bytes: int
    total_bytes: int
    rate: float
    acknowledged_capture_started_at: datetime | None
    acknowledged_sequence: int
