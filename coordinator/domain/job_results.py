"""What a job brought to light, kept with it."""

from dataclasses import dataclass
from typing import TypeAlias

from coordinator.domain.identifiers import Generation
from coordinator.domain.orders import DiskDigest


@dataclass(frozen=True, slots=True)
class DigestedPoint:
    """What a whole recovery point holds, disk by disk."""

    generation: Generation
    sequence: int
    disks: tuple[DiskDigest, ...]


@dataclass(frozen=True, slots=True)
class ExportedDisk:
    """Where a disk of a point is on its target host, and what was read back from there."""

    generation: Generation
    sequence: int
    path: str
    disk: DiskDigest


@dataclass(frozen=True, slots=True)
class VerifiedReplica:
    """How much of a replica was compared with its source and found equal."""

    checked_bytes: int
    differing_bytes: int


@dataclass(frozen=True, slots=True)
class RemovedReplica:
    """Where the disks of a removed replica are, none where they were deleted."""

    kept_paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NamedPoint:
    """The point that was given a name."""

    generation: Generation
    sequence: int
    name: str


JobResult: TypeAlias = DigestedPoint | ExportedDisk | VerifiedReplica | RemovedReplica | NamedPoint
