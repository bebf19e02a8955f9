"""How a source says its replication goes: soft state, the newest report wins."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from coordinator.domain.identifiers import ProtectionId
from coordinator.domain.orders import Failure


class ReplicationState(StrEnum):
    """What a source is doing for a protection."""

    INITIAL = "initial"
    REPLICATING = "replicating"
    WAITING = "waiting"
    RESYNC_REQUIRED = "resync-required"


@dataclass(frozen=True, slots=True)
class ReplicationReport:
    """A source's report. `acknowledged_*` is about the newest point that the target sealed for it."""

    protection_id: ProtectionId
    state: ReplicationState
    failure: Failure | None
    done_bytes: int
    total_bytes: int
    rate: float
    acknowledged_capture_started_at: datetime | None
    acknowledged_sequence: int
    reported_at: datetime

    def tells_more_than(self, other: "ReplicationReport | None") -> bool:
        """Tell whether this report differs from `other` in what an operator would act on."""
        return other is None or (self.state, self.failure) != (other.state, other.failure)
