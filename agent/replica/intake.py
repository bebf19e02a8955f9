"""One segment as it arrives: what came, and whether the trailer is about exactly that."""

from collections.abc import Sequence

from agent.replica.batch_checks import BatchChecks
from agent.replica.pieces import Piece
from agent.replica.refusals import refusal
from replikera.blocks.segment import (
    ChainDigest,
    SegmentFormatError,
    SegmentHeader,
    SegmentKind,
    SegmentTrailer,
    decode_trailer,
)
from replikera.machine import MachineDescriptionError, parse_machine_description
from replikera.ports.files import Buffer


class Intake:
    """Follows one segment. A refused batch leaves it as it was."""

    def __init__(self, header: SegmentHeader) -> None:
        self.header = header
        self.records = 0
        self.payload_bytes = 0
        self._chain = ChainDigest(header)
        self._checks = BatchChecks(header)

    def take(self, data: bytes, payloads: Sequence[Buffer]) -> list[Piece]:
        """Return the pieces of a batch, verified. Raises `ReplicaError`."""
        pieces = self._checks.take(data, payloads)
        self._chain.add_records(data)
        self.records += len(pieces)
        self.payload_bytes += sum(len(payload) for payload in payloads)
        return pieces

    def finish(self, data: bytes, chain_digest: bytes) -> SegmentTrailer:
        """Return the trailer of a segment that is complete. Raises `ReplicaError`."""
        trailer = checked_trailer(self.header, data, self.records, self.payload_bytes)
        if self._chain.finish(data) != chain_digest:
            raise refusal(
                self.header, "wrong-digest", "the chain digest is not that of what arrived"
            )
        return trailer


def checked_trailer(
    header: SegmentHeader, data: bytes, records: int, payload_bytes: int
) -> SegmentTrailer:
    """Return the trailer that belongs to a header and to what arrived. Raises `ReplicaError`."""
    try:
        trailer = decode_trailer(data)
    except SegmentFormatError as error:
        raise refusal(header, "malformed-segment", str(error)) from error
    if (trailer.records, trailer.payload_bytes) != (records, payload_bytes):
        raise refusal(
            header,
            "incomplete",
            f"{records} records and {payload_bytes} bytes arrived, the trailer counts"
            f" {trailer.records} and {trailer.payload_bytes}",
        )
    if trailer.disks != header.disks:
        raise refusal(header, "malformed-segment", "header and trailer list other disks")
    if problem := _machine_problem(header, trailer):
        raise refusal(header, "malformed-segment", problem)
    return trailer


def _machine_problem(header: SegmentHeader, trailer: SegmentTrailer) -> str | None:
    if trailer.machine is None:
        return "no machine description" if header.kind is SegmentKind.INITIAL else None
    try:
        machine = parse_machine_description(trailer.machine)
    except MachineDescriptionError as error:
        return str(error)
    if {disk.disk_id for disk in machine.disks} != {disk.disk_id for disk in trailer.disks}:
        return "the machine has other disks than the segment"
    return None
