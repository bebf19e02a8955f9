"""Recovery points: what a target says it holds, durable and restorable.

The target alone knows its points; the vault keeps a copy of the list so that operators can choose while the target is
away. A sequence of one generation never changes its content: a report that says so is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from coordinator.domain.errors import InvalidValueError, RefusedError
from coordinator.domain.identifiers import MAX_NAME_LENGTH, Generation, ProtectionId

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
    """The state of all disks after segment `sequence` of a generation."""

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
class PointReport:
    """What a target says: all its points if `is_complete`, else what is new and what is gone."""

    protection_id: ProtectionId
    generation: Generation
    points: tuple[RecoveryPoint, ...]
    released: tuple[int, ...]
    is_complete: bool
    number: int


@dataclass(frozen=True, slots=True)
class PointChanges:
    """How the vault's list of one generation's points changes."""

    protection_id: ProtectionId
    generation: Generation
    added: tuple[RecoveryPoint, ...]
    released: tuple[int, ...]


def reconcile(known: Mapping[int, bytes], report: PointReport) -> PointChanges:
    """Return what the report changes in a list of which `known` has digests by sequence.

    `known` holds the whole list for a complete report, else at least the sequences that the report names.
    """
    for point in report.points:
        digest = known.get(point.sequence)
        if digest is not None and digest != point.chain_digest:
            raise RefusedError(
                "point-changed",
                f"Point {point.sequence} of protection {report.protection_id} has another digest "
                "than when it was sealed.",
                "Do not recover from it; examine the target host's volume.",
            )
    added = tuple(point for point in report.points if point.sequence not in known)
    if report.is_complete:
        kept = {point.sequence for point in report.points}
        gone = tuple(sequence for sequence in known if sequence not in kept)
    else:
        gone = tuple(sequence for sequence in report.released if sequence in known)
    return PointChanges(report.protection_id, report.generation, added, gone)
