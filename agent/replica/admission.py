"""Which segment, and which initial pass, may come next."""

from agent.replica.accepted import AcceptedReplica
from agent.replica.errors import RESYNC, ReplicaError
from agent.replica.history import Head, History, have_same_shape
from agent.replica.refusals import refusal
from replikera.blocks.segment import (
    SegmentFormatError,
    SegmentHeader,
    SegmentKind,
    decode_header,
)


def admit(encoded: bytes, accepted: AcceptedReplica, history: History) -> SegmentHeader:
    """Return the header of a segment that goes on from the newest point. Raises `ReplicaError`."""
    header = _decode(encoded, accepted)
    check_place(header, accepted, history)
    if header.kind is not SegmentKind.DELTA:
        raise refusal(header, "wrong-kind", "the first point arrives as a pass, not as a segment")
    return header


def admit_pass(encoded: bytes, accepted: AcceptedReplica, history: History) -> SegmentHeader:
    """Return the header of a pass that leads to the first point. Raises `ReplicaError`."""
    header = _decode(encoded, accepted)
    check_place(header, accepted, history)
    if header.kind is not SegmentKind.INITIAL:
        raise refusal(header, "wrong-kind", "it arrives as a segment, not as a pass")
    return header


def check_place(header: SegmentHeader, accepted: AcceptedReplica, history: History) -> None:
    """Raise `ReplicaError` unless what has this header may become the next point."""
    _check_owner(header, accepted)
    _check_head(header, history.head)
    newest = history.newest
    if newest is not None and not have_same_shape(header.disks, newest.disks):
        raise ReplicaError(
            "disks-changed",
            f"Segment {header.sequence} of {accepted.machine_name} is about other disks or sizes than"
            f" point {newest.sequence}.",
            RESYNC,
        )


def _decode(encoded: bytes, accepted: AcceptedReplica) -> SegmentHeader:
    try:
        return decode_header(encoded)
    except SegmentFormatError as error:
        raise ReplicaError(
            "malformed-segment",
            f"The header of a segment for protection {accepted.protection_id}: {error}.",
            "Update both agents to one version.",
        ) from error


def _check_owner(header: SegmentHeader, accepted: AcceptedReplica) -> None:
    if header.protection_id != accepted.protection_id:
        raise refusal(header, "wrong-protection", f"this replica is {accepted.protection_id}'s")
    if header.epoch != accepted.epoch:
        raise refusal(header, "wrong-epoch", f"epoch {header.epoch}, accepted is {accepted.epoch}")
    if header.generation != accepted.generation:
        raise ReplicaError(
            "wrong-generation",
            f"Segment {header.sequence} of protection {header.protection_id} is of generation"
            f" {header.generation}, accepted is {accepted.generation}.",
            RESYNC,
            is_diverged=True,
        )


def _check_head(header: SegmentHeader, head: Head) -> None:
    if header.sequence != head.sequence + 1:
        raise refusal(header, "wrong-sequence", f"the next one is {head.sequence + 1}")
    if header.previous != head.chain_digest:
        raise ReplicaError(
            "diverged",
            f"Segment {header.sequence} of protection {header.protection_id} goes on from another"
            f" point {head.sequence} than this replica holds.",
            RESYNC,
            is_diverged=True,
        )
    if header.attempt < head.attempt_floor:
        raise refusal(
            header, "stale-attempt", f"attempts below {head.attempt_floor} were abandoned"
        )
