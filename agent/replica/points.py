"""Recovery points as the replica keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.replica.documents import place_document, read_document
from agent.replica.layout import Layout
from replikera.blocks.segment import DiskGeometry, PointKind, SegmentFormatError
from replikera.blocks.segment.canonical import (
    Json,
    decode_canonical,
    encode_canonical,
    format_instant,
    number_of,
    object_of,
    parse_instant,
    text_of,
)
from replikera.blocks.segment.geometry import parse_disks
from replikera.ports.files import Files

_MAX_NUMBER = (1 << 63) - 1
_DIGEST_CHARACTERS = 64
_KEYS = frozenset(
    {
        "capture_ended_at",
        "capture_started_at",
        "chain_digest",
        "disks",
        "generation",
        "kind",
        "machine",
        "name",
        "payload_bytes",
        "previous",
        "sealed_at",
        "sequence",
    }
)


@dataclass(frozen=True, slots=True)
class SealedPoint:
    """A recovery point that is durable and can be given back. Its chain digest is its identity."""

    generation: str
    sequence: int
    kind: PointKind
    name: str
    capture_started_at: datetime
    capture_ended_at: datetime
    sealed_at: datetime
    payload_bytes: int
    chain_digest: bytes


@dataclass(frozen=True, slots=True)
class PointRecord:
    """A point with what it takes to recover it; `previous` is the identity of the point before it."""

    point: SealedPoint
    previous: bytes
    disks: tuple[DiskGeometry, ...]
    machine: bytes

    @property
    def sequence(self) -> int:
        """Return the point's sequence."""
        return self.point.sequence

    @property
    def point_id(self) -> bytes:
        """Return the point's identity."""
        return self.point.chain_digest


def write_point(files: Files, layout: Layout, record: PointRecord) -> None:
    """Make a point's description durable."""
    write_points(files, layout, [record])


def write_points(files: Files, layout: Layout, records: Sequence[PointRecord]) -> None:
    """Make the descriptions of points durable, their names together."""
    for record in records:
        place_document(files, layout.point_file(record.sequence), _fields(record))
    files.sync_directory(layout.points)


def _fields(record: PointRecord) -> dict[str, Json]:
    point = record.point
    return {
        "capture_ended_at": format_instant(point.capture_ended_at),
        "capture_started_at": format_instant(point.capture_started_at),
        "chain_digest": point.chain_digest.hex(),
        "disks": [disk.to_json() for disk in record.disks],
        "generation": point.generation,
        "kind": point.kind.value,
        "machine": decode_canonical(record.machine, "the machine"),
        "name": point.name,
        "payload_bytes": point.payload_bytes,
        "previous": record.previous.hex(),
        "sealed_at": format_instant(point.sealed_at),
        "sequence": point.sequence,
    }


def read_point(files: Files, layout: Layout, sequence: int) -> PointRecord:
    """Return a point's description. Raises `SegmentFormatError`, `FileNotFoundError`."""
    fields = object_of(
        read_document(files, layout.point_file(sequence)), _KEYS, f"the file of point {sequence}"
    )
    point = SealedPoint(
        generation=text_of(fields, "generation", 36),
        sequence=number_of(fields, "sequence", _MAX_NUMBER),
        kind=PointKind(text_of(fields, "kind", 64)),
        name=text_of(fields, "name", _MAX_NUMBER),
        capture_started_at=parse_instant(fields, "capture_started_at"),
        capture_ended_at=parse_instant(fields, "capture_ended_at"),
        sealed_at=parse_instant(fields, "sealed_at"),
        payload_bytes=number_of(fields, "payload_bytes", _MAX_NUMBER),
        chain_digest=bytes.fromhex(text_of(fields, "chain_digest", _DIGEST_CHARACTERS)),
    )
    if point.sequence != sequence:
        raise SegmentFormatError(f"the file of point {sequence} describes point {point.sequence}")
    return PointRecord(
        point=point,
        previous=bytes.fromhex(text_of(fields, "previous", _DIGEST_CHARACTERS)),
        disks=parse_disks(fields["disks"]),
        machine=encode_canonical(fields["machine"]),
    )
