"""Everything that is checked of a segment before a byte of it is written."""

from collections.abc import Sequence

import numpy as np

from agent.replica.errors import ReplicaError
from agent.replica.frames import MAX_FRAME_PAYLOAD
from agent.replica.pieces import Piece, verified_pieces
from replikera.blocks.segment import (
    ChainDigest,
    Records,
    SegmentFormatError,
    SegmentHeader,
    SegmentKind,
    SegmentTrailer,
    decode_trailer,
    parse_records,
)
from replikera.machine import MachineDescriptionError, parse_machine_description
from replikera.ports.files import Buffer

AGAIN = "The source sends the segment again; if this repeats, update both agents to one version."


class Intake:
    """Follows one segment as it arrives. A refused batch leaves it as it was."""

    def __init__(self, header: SegmentHeader) -> None:
        self.header = header
        self.records = 0
        self.payload_bytes = 0
        self._chain = ChainDigest(header)
        self._sizes = np.array([disk.size for disk in header.disks], dtype=np.int64)
        self._sectors = np.array(
            [disk.logical_sector_size for disk in header.disks], dtype=np.int64
        )
        self._reached = np.zeros(len(header.disks), dtype=np.int64)

    def take(self, data: bytes, payloads: Sequence[Buffer]) -> list[Piece]:
        """Return the pieces of a batch, verified. Raises `ReplicaError`."""
        length = sum(len(payload) for payload in payloads)
        if length > MAX_FRAME_PAYLOAD:
            raise self._refusal(
                "oversized", f"a batch of {length} bytes, {MAX_FRAME_PAYLOAD} at most"
            )
        records = self._parse(data)
        self._check_bounds(records)
        reached = self._check_order(records)
        try:
            pieces = list(verified_pieces(records, payloads))
        except SegmentFormatError as error:
            raise self._refusal("wrong-checksum", str(error)) from error
        self._reached = reached
        self._chain.add_records(data)
        self.records += len(records)
        self.payload_bytes += length
        return pieces

    def finish(self, data: bytes, chain_digest: bytes) -> SegmentTrailer:
        """Return the trailer of a segment that is complete. Raises `ReplicaError`."""
        try:
            trailer = decode_trailer(data)
        except SegmentFormatError as error:
            raise self._refusal("malformed-segment", str(error)) from error
        counts = (trailer.records, trailer.payload_bytes)
        if counts != (self.records, self.payload_bytes):
            raise self._refusal(
                "incomplete",
                f"{self.records} records and {self.payload_bytes} bytes arrived, the trailer"
                f" counts {trailer.records} and {trailer.payload_bytes}",
            )
        if trailer.disks != self.header.disks:
            raise self._refusal("malformed-segment", "header and trailer list other disks")
        self._check_machine(trailer)
        if self._chain.finish(data) != chain_digest:
            raise self._refusal("wrong-digest", "the chain digest is not that of what arrived")
        return trailer

    def _parse(self, data: bytes) -> Records:
        try:
            return parse_records(data)
        except SegmentFormatError as error:
            raise self._refusal("malformed-segment", str(error)) from error

    def _check_bounds(self, records: Records) -> None:
        disks = records["disk"]
        if int(disks.max()) >= len(self._sizes):
            raise self._refusal("out-of-bounds", f"there is no disk {int(disks.max())}")
        offsets, ends = records["offset"], records["offset"] + records["length"]
        is_outside = ends > self._sizes[disks]
        if is_outside.any():
            number = int(np.argmax(is_outside))
            disk = int(disks[number])
            raise self._refusal(
                "out-of-bounds",
                f"disk {disk} has {int(self._sizes[disk])} bytes, a record ends at"
                f" {int(ends[number])}",
            )
        if ((offsets | ends) % self._sectors[disks]).any():
            raise self._refusal("unaligned", "a record is not made of whole sectors of its disk")

    def _check_order(self, records: Records) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return how far each disk is; ascending records cannot overlap, whatever their number."""
        reached = self._reached.copy()
        for disk in np.unique(records["disk"]).tolist():
            mine = records[records["disk"] == disk]
            ends = mine["offset"] + mine["length"]
            befores = np.concatenate((reached[disk : disk + 1], ends[:-1]))
            is_behind = mine["offset"] < befores
            if is_behind.any():
                number = int(np.argmax(is_behind))
                raise self._refusal(
                    "overlapping",
                    f"a record of disk {disk} begins at {int(mine['offset'][number])}, the one"
                    f" before it ends at {int(befores[number])}",
                )
            reached[disk] = ends[-1]
        return reached

    def _check_machine(self, trailer: SegmentTrailer) -> None:
        if trailer.machine is None:
            if self.header.kind is SegmentKind.INITIAL:
                raise self._refusal("malformed-segment", "no machine description")
            return
        try:
            machine = parse_machine_description(trailer.machine)
        except MachineDescriptionError as error:
            raise self._refusal("malformed-segment", str(error)) from error
        if {disk.disk_id for disk in machine.disks} != {disk.disk_id for disk in trailer.disks}:
            raise self._refusal("malformed-segment", "the machine has other disks than the segment")

    def _refusal(self, code: str, problem: str) -> ReplicaError:
        return refusal(self.header, code, problem)


def refusal(header: SegmentHeader, code: str, problem: str) -> ReplicaError:
    """Return the error that names a segment and sends the source back to its head."""
    cause = f"Segment {header.sequence} of protection {header.protection_id}: {problem}."
    return ReplicaError(code, cause, AGAIN)
