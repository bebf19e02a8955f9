"""What a source may say, as the rest of the replica sees it: decoded, and within the bounds of one message."""

from dataclasses import dataclass
from typing import TypeAlias

Range: TypeAlias = tuple[int, int, int]
"""Disk, offset, length."""


class ProtocolViolationError(Exception):
    """The source sent what no source sends."""


@dataclass(frozen=True, slots=True)
class Open:
    """OpenReplica."""

    protection_id: str
    epoch: int
    generation: str
    grant: bytes


@dataclass(frozen=True, slots=True)
class Present:
    """PresentGrant."""

    grant: bytes


@dataclass(frozen=True, slots=True)
class GrantEnded:
    """Time has passed: what the source presented last permits nothing any more, unless a newer one came before."""


@dataclass(frozen=True, slots=True)
class Begin:
    """SegmentBegin."""

    header: bytes


@dataclass(frozen=True, slots=True)
class Resume:
    """SegmentResume."""

    attempt: int
    records: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Batch with its payload messages."""

    records: bytes
    payloads: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Return the bytes that it took of the window."""
        return len(self.records) + sum(len(payload) for payload in self.payloads)


@dataclass(frozen=True, slots=True)
class End:
    """SegmentEnd."""

    trailer: bytes
    chain_digest: bytes


@dataclass(frozen=True, slots=True)
class Abandon:
    """Abandon."""

    generation: str
    sequence: int
    attempt: int


@dataclass(frozen=True, slots=True)
class BeginPass:
    """PassBegin."""

    header: bytes


@dataclass(frozen=True, slots=True)
class BeginChunk:
    """ChunkBegin."""

    number: int


@dataclass(frozen=True, slots=True)
class EndChunk:
    """ChunkEnd."""

    watermarks: tuple[int, ...]
    digest: bytes


@dataclass(frozen=True, slots=True)
class EndPass:
    """PassEnd."""

    trailer: bytes
    chain_digest: bytes


@dataclass(frozen=True, slots=True)
class AskDigests:
    """DigestRequest; sequence 0 is the open pass."""

    sequence: int
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream is over; `violation` says why where the source broke the protocol."""

    violation: ProtocolViolationError | None


OfSegment: TypeAlias = Begin | Resume | End
OfPass: TypeAlias = BeginPass | BeginChunk | EndChunk | EndPass
Incoming: TypeAlias = (
    Open | Present | GrantEnded | OfSegment | OfPass | Batch | Abandon | AskDigests | Ended
)
