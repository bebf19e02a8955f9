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
    RESYNCHRONIZING = "resynchronizing"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong and what to do, for an operator to read as it stands."""

    code: str
    cause: str
    remedy: str


@dataclass(frozen=True, slots=True)
class VerificationStatus:
    """The newest full comparison that was asked for. `finished_at` is None while it goes on."""

    verification_id: str
    checked_bytes: int
    total_bytes: int
    differing_bytes: int
    finished_at: datetime | None

    @property
    def is_finished(self) -> bool:
        """Tell whether it has ended, all equal or not."""
        return self.finished_at is not None


@dataclass(frozen=True, slots=True)
class ReplicationStatus:
    """Progress is that of the present or last transfer; `rate` is its bytes a second over the last seconds.

    `done_bytes` and `total_bytes` count bytes that are read to be sent or compared. `sent_bytes` are those that left,
    after compression. Lag counts from `acknowledged_capture_started_at`, None while the target has sealed nothing.
    `compared_at` is when ranges were last compared with the target and found equal. `warning` is what an operator
    should know although replication goes on.
    """

    protection_id: str
    state: ReplicationState
    failure: Failure | None
    done_bytes: int
    total_bytes: int
    rate: float
    acknowledged_capture_started_at: datetime | None
    acknowledged_sequence: int
    sent_bytes: int = 0
    verification: VerificationStatus | None = None
    compared_at: datetime | None = None
    warning: Failure | None = None
