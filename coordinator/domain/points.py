"""Recovery points: what a target says it holds, durable and restorable.

The target alone knows its points; the vault keeps a copy of the list so that operators can choose while the target is
away. A sequence of one generation never changes its content: what a report says otherwise is not believed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from coordinator.domain.errors import InvalidValueError
from coordinator.domain.identifiers import MAX_NAME_LENGTH, Generation, ProtectionId
from coordinator.domain.lag import NewestState
from coordinator.domain.orders import Failure

DIGEST_BYTES = 32
MAX_INTEGER = 2**63 - 1
"""What a column of the store holds; no sequence and no size comes near it."""


class PointKind(StrEnum):
    """How consistent a point is."""

    CRASH_CONSISTENT = "crash-consistent"
    APPLICATION_CONSISTENT = "application-consistent"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """The state of all disks after segment `sequence` of a generation.

    `heard_at` is when the vault first heard of it, by its own clock; None where that was not kept. `other_digest` is
    what its target told later, where that is another one: then nobody knows what the point holds.
    """

    protection_id: ProtectionId
    generation: Generation
    sequence: int
    kind: PointKind
    name: str
    capture_started_at: datetime
    capture_ended_at: datetime
    sealed_at: datetime
    payload_bytes: int
    chain_digest: bytes
    heard_at: datetime | None = field(default=None, compare=False)
    other_digest: bytes | None = field(default=None, compare=False)

    @property
    def is_doubtful(self) -> bool:
        """Tell whether its target has told two contents of it."""
        return self.other_digest is not None

    @property
    def state(self) -> NewestState:
        """Return what its age follows from, should it be the newest."""
        return NewestState(self.capture_started_at, self.heard_at)

    def __post_init__(self) -> None:
        is_sound = (
            0 < self.sequence <= MAX_INTEGER
            and 0 <= self.payload_bytes <= MAX_INTEGER
            and len(self.chain_digest) == DIGEST_BYTES
            and len(self.name) <= MAX_NAME_LENGTH
            and self.capture_started_at <= self.capture_ended_at
        )
        if not is_sound:
            raise InvalidValueError(
                "invalid-point",
                f"Point {self.sequence} of protection {self.protection_id} is not well-formed.",
                "Update the agent of the target host.",
                field="points",
            )


@dataclass(frozen=True, slots=True)
class Covered:
    """The sequences `first` to `last`, both of them with it."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.last <= MAX_INTEGER:
            raise InvalidValueError(
                "invalid-range",
                f"Sequences {self.first} to {self.last} are no range.",
                "Update the agent of the target host.",
                field="covers_from",
            )


@dataclass(frozen=True, slots=True)
class PointReport:
    """What a target says: what is new and what is gone, and all it has of the sequences in `covered`, None for none.

    `processed` is the newest point that it has applied, 0 before the first.
    """

    protection_id: ProtectionId
    generation: Generation
    points: tuple[RecoveryPoint, ...]
    released: tuple[int, ...]
    covered: Covered | None
    number: int
    processed: int = 0


@dataclass(frozen=True, slots=True)
class PointChanges:
    """How the vault's list of one generation's points changes.

    Of the sequences in `covered` only those of `named` stay. Of those in `doubtful` another content is told than
    ever before, by its digest: they stay as they were, and are marked. `processed`
    is the newest point that the target has applied, 0 before the first.
    """

    protection_id: ProtectionId
    generation: Generation
    added: tuple[RecoveryPoint, ...]
    released: tuple[int, ...]
    covered: Covered | None = None
    named: tuple[int, ...] = ()
    doubtful: tuple[tuple[int, bytes], ...] = ()
    processed: int = 0

    def doubt(self) -> Failure | None:
        """Return what the target's claim of another content means, None where it makes none."""
        if not self.doubtful:
            return None
        more = f" and {len(self.doubtful) - 1} more" if len(self.doubtful) > 1 else ""
        return Failure(
            "point-changed",
            f"Point {self.doubtful[0][0]}{more} of protection {self.protection_id} has another digest at the target "
            "than when it was sealed.",
            "Do not recover from it; examine the target host's volume, then: replikera protection resync.",
        )


def reconcile(
    known: Mapping[int, Collection[bytes]], report: PointReport, now: datetime
) -> PointChanges:
    """Return what the report changes; `known` has all digests that were told of the points that the report has."""
    named = tuple(point.sequence for point in report.points)
    return PointChanges(
        report.protection_id,
        report.generation,
        tuple(
            replace(point, heard_at=now) for point in report.points if point.sequence not in known
        ),
        report.released,
        report.covered,
        named,
        tuple(
            (point.sequence, point.chain_digest)
            for point in report.points
            if point.sequence in known and point.chain_digest not in known[point.sequence]
        ),
        report.processed,
    )
