"""How a source says its replication goes: soft state, the newest report wins."""

from dataclasses import dataclass, field, replace
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
    RESYNCHRONIZING = "resynchronizing"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Verification:
    """The newest full comparison that was asked for; `differing_bytes` are in ranges that were not equal."""

    verification_id: str
    checked_bytes: int
    total_bytes: int
    differing_bytes: int
    is_finished: bool
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReplicationReport:
    """A source's report. `acknowledged_*` is about the newest point that the target sealed for it.

    `sent_bytes` are those of the present or last transfer as they were sent, after compression. `compared_at` is when
    a sample was last found equal at both sides. A `warning` does not stop replication. `acknowledged_heard_at` is when
    the vault first heard of the point, by its own clock.
    """

    protection_id: ProtectionId
    state: ReplicationState
    failure: Failure | None
    done_bytes: int
    total_bytes: int
    rate: float
    acknowledged_capture_started_at: datetime | None
    acknowledged_sequence: int
    reported_at: datetime
    sent_bytes: int = 0
    verification: Verification | None = None
    compared_at: datetime | None = None
    warning: Failure | None = None
    acknowledged_heard_at: datetime | None = field(default=None, compare=False)

    def heard_after(self, before: "ReplicationReport | None") -> "ReplicationReport":
        """Return the report with when the vault first heard of its acknowledged point."""
        is_known = (
            before is not None
            and before.acknowledged_heard_at is not None
            and before.acknowledged_sequence == self.acknowledged_sequence
        )
        heard = (
            before.acknowledged_heard_at if before is not None and is_known else self.reported_at
        )
        return replace(self, acknowledged_heard_at=heard)

    def tells_more_than(self, other: "ReplicationReport | None") -> bool:
        """Tell whether this report differs from `other` in what an operator would act on."""
        return other is None or _told(self) != _told(other)


def _told(report: ReplicationReport) -> tuple[object, ...]:
    verification = report.verification
    result = (
        (verification.verification_id, verification.is_finished)
        if verification is not None
        else None
    )
    is_compared = report.compared_at is not None
    return (report.state, report.failure, report.warning, result, is_compared)
