"""What is refused of a segment or of the initial pass, in words that name it."""

from agent.replica.errors import ReplicaError
from replikera.blocks.segment import SegmentHeader, SegmentKind

AGAIN = "The source sends it again; if this repeats, update both agents to one version."


def refusal(header: SegmentHeader, code: str, problem: str) -> ReplicaError:
    """Return the error that names what arrived and sends the source back to what is durable."""
    return ReplicaError(code, f"{_name(header)}: {problem}.", AGAIN)


def _name(header: SegmentHeader) -> str:
    if header.kind is SegmentKind.INITIAL:
        return f"The initial pass {header.attempt} of protection {header.protection_id}"
    return f"Segment {header.sequence} of protection {header.protection_id}"
