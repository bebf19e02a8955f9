"""How far the initial pass is durable: the file that makes a folder of images something to go on from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from agent.replica.documents import read_document, write_document
from agent.replica.layout import Layout
from replikera.blocks.segment import (
    MAX_DISK_BYTES,
    NO_POINT,
    DiskGeometry,
    SegmentFormatError,
    SegmentHeader,
)
from replikera.blocks.segment.canonical import Json, number_of, object_of, text_of
from replikera.blocks.segment.geometry import parse_disks
from replikera.ports.files import Files

_KEYS = frozenset(
    {
        "attempt",
        "chunk",
        "digest",
        "disks",
        "is_seeded",
        "payload_bytes",
        "records",
        "watermarks",
    }
)
_MAX_NUMBER = (1 << 63) - 1
_DIGEST_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class PassState:
    """The newest chunk that is durable, with its digest; chunk 0 is "nothing yet".

    Below its watermark every byte of a disk is in the base. `records` and `payload_bytes` count over all chunks.
    `is_seeded`: the base held a seed when the pass began.
    """

    attempt: int
    disks: tuple[DiskGeometry, ...]
    chunk: int
    digest: bytes
    watermarks: tuple[int, ...]
    records: int
    payload_bytes: int
    is_seeded: bool

    @classmethod
    def begun(cls, header: SegmentHeader, *, is_seeded: bool) -> Self:
        """Return the state of a pass that has received nothing."""
        return cls(
            attempt=header.attempt,
            disks=header.disks,
            chunk=0,
            digest=NO_POINT,
            watermarks=(0,) * len(header.disks),
            records=0,
            payload_bytes=0,
            is_seeded=is_seeded,
        )

    @property
    def is_covered(self) -> bool:
        """Tell whether every byte of every disk is in the base."""
        return self.watermarks == tuple(disk.size for disk in self.disks)

    def advanced(
        self, digest: bytes, watermarks: Sequence[int], *, records: int, payload_bytes: int
    ) -> "PassState":
        """Return the state after one more chunk with that many records and bytes."""
        return replace(
            self,
            chunk=self.chunk + 1,
            digest=digest,
            watermarks=tuple(watermarks),
            records=self.records + records,
            payload_bytes=self.payload_bytes + payload_bytes,
        )


def write_pass(files: Files, layout: Layout, state: PassState) -> None:
    """Make the state durable. What it says of the images has to be durable before."""
    fields: dict[str, Json] = {
        "attempt": state.attempt,
        "chunk": state.chunk,
        "digest": state.digest.hex(),
        "disks": [disk.to_json() for disk in state.disks],
        "is_seeded": state.is_seeded,
        "payload_bytes": state.payload_bytes,
        "records": state.records,
        "watermarks": list(state.watermarks),
    }
    write_document(files, layout.pass_file(state.attempt), fields)


def read_pass(files: Files, layout: Layout, attempt: int) -> PassState:
    """Return the state of a pass. Raises `SegmentFormatError`, `FileNotFoundError`."""
    what = f"the file of pass {attempt}"
    fields = object_of(read_document(files, layout.pass_file(attempt)), _KEYS, what)
    is_seeded = fields["is_seeded"]
    if not isinstance(is_seeded, bool):
        raise SegmentFormatError(f"{what}: is_seeded is neither true nor false")
    disks = parse_disks(fields["disks"])
    state = PassState(
        attempt=number_of(fields, "attempt", _MAX_NUMBER),
        disks=disks,
        chunk=number_of(fields, "chunk", _MAX_NUMBER),
        digest=bytes.fromhex(text_of(fields, "digest", _DIGEST_CHARACTERS)),
        watermarks=_parse_watermarks(fields["watermarks"], disks, what),
        records=number_of(fields, "records", _MAX_NUMBER),
        payload_bytes=number_of(fields, "payload_bytes", _MAX_NUMBER),
        is_seeded=is_seeded,
    )
    if state.attempt != attempt:
        raise SegmentFormatError(f"{what} is that of pass {state.attempt}")
    return state


def _parse_watermarks(value: Json, disks: Sequence[DiskGeometry], what: str) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) != len(disks):
        raise SegmentFormatError(f"{what} does not hold one watermark a disk")
    named = {str(place): mark for place, mark in enumerate(value)}
    watermarks = tuple(number_of(named, name, MAX_DISK_BYTES) for name in named)
    if any(mark > disk.size for mark, disk in zip(watermarks, disks, strict=True)):
        raise SegmentFormatError(f"{what}: a watermark beyond the end of its disk")
    return watermarks
