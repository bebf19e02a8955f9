"""Everything that is checked of a batch before a byte of it is written."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.replica.errors import ReplicaError
from agent.replica.frames import MAX_FRAME_PAYLOAD
from agent.replica.pieces import Piece, verified_pieces
from agent.replica.refusals import refusal
from replikera.blocks.segment import (
    Records,
    SegmentFormatError,
    SegmentHeader,
    parse_records,
)
from replikera.blocks.segment.records import RecordKind
from replikera.ports.files import Buffer

MAX_PLAIN_BYTES = MAX_FRAME_PAYLOAD
"""Bytes that the data of one batch may unpack to, and so in memory beside it: 8 times what a source reads for one."""


class BatchChecks:
    """Follows the records of a segment, or of a chunk. A refused batch leaves it as it was."""

    def __init__(self, header: SegmentHeader) -> None:
        self._header = header
        self._sizes = np.array([disk.size for disk in header.disks], dtype=np.int64)
        self._sectors = np.array(
            [disk.logical_sector_size for disk in header.disks], dtype=np.int64
        )
        self._reached = np.zeros(len(header.disks), dtype=np.int64)

    @property
    def reached(self) -> tuple[int, ...]:
        """Return by disk where its last record ends."""
        return tuple(self._reached.tolist())

    def take(self, data: bytes, payloads: Sequence[Buffer]) -> list[Piece]:
        """Return the pieces of a batch, unpacked and verified. Raises `ReplicaError`."""
        length = sum(len(payload) for payload in payloads)
        if length > MAX_FRAME_PAYLOAD:
            raise self._refusal(
                "oversized", f"a batch of {length} bytes, {MAX_FRAME_PAYLOAD} at most"
            )
        records = self._parse(data)
        self._check_plain_size(records)
        self._check_bounds(records)
        reached = self._check_order(records)
        try:
            pieces = list(verified_pieces(records, payloads))
        except SegmentFormatError as error:
            raise self._refusal("wrong-checksum", str(error)) from error
        self._reached = reached
        return pieces

    def _parse(self, data: bytes) -> Records:
        try:
            return parse_records(data)
        except SegmentFormatError as error:
            raise self._refusal("malformed-segment", str(error)) from error

    def _check_plain_size(self, records: Records) -> None:
        plain = int(records["length"][records["kind"] == RecordKind.DATA].sum())
        if plain > MAX_PLAIN_BYTES:
            raise self._refusal(
                "oversized", f"a batch that unpacks to {plain} bytes, {MAX_PLAIN_BYTES} at most"
            )

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

    def _check_order(self, records: Records) -> NDArray[np.int64]:
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

    def _refusal(self, code: str, problem: str) -> ReplicaError:
        return refusal(self._header, code, problem)
