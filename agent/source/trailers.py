"""The last words of a segment or a pass: which instant of the machine it led to."""

from agent.hypervisor.interface import Consistency
from agent.source.capture import Capture
from replikera.blocks.segment import PointKind, SegmentTrailer

_KINDS = {
    Consistency.CRASH: PointKind.CRASH_CONSISTENT,
    Consistency.APPLICATION: PointKind.APPLICATION_CONSISTENT,
}


def trailer_of(
    capture: Capture, machine: bytes | None, *, records: int, payload_bytes: int, name: str = ""
) -> bytes:
    """Return the trailer; `machine` is None where the point before has the same description.

    A point with a name is of the kind that says so, and at least crash-consistent.
    """
    return SegmentTrailer(
        capture_started_at=capture.started_at,
        capture_ended_at=capture.view.taken_at,
        kind=PointKind.NAMED if name else _KINDS[capture.view.consistency],
        name=name,
        disks=capture.geometries,
        machine=machine,
        records=records,
        payload_bytes=payload_bytes,
    ).encode()
