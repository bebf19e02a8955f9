"""Segments as a source would send them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agent.replica.accepted import AcceptedReplica
from agent.replica.history import Head
from replikera.blocks.segment import (
    NO_POINT,
    ChainDigest,
    ChunkDigest,
    Codec,
    DiskGeometry,
    PointKind,
    SegmentHeader,
    SegmentKind,
    SegmentTrailer,
    compress,
    data_record,
    zero_record,
)
from replikera.machine import Disk, MachineDescription

PROTECTION = "6f1c1f0e-0d0e-4a55-8c2f-0f5a5b7f0001"
GENERATION = "6f1c1f0e-0d0e-4a55-8c2f-0f5a5b7f0002"
STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)

ACCEPTED = AcceptedReplica(
    protection_id=PROTECTION,
    epoch=1,
    generation=GENERATION,
    source_host_id="host-a",
    machine_id="vm-1",
    machine_name="mail",
    retention=timedelta(hours=24),
)
NOTHING = Head(GENERATION, 0, NO_POINT, 0)


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at an offset of a disk; a number instead of bytes is that many zeros."""

    disk: int
    offset: int
    data: bytes | int


@dataclass(frozen=True, slots=True)
class Segment:
    header: bytes
    records: bytes
    payloads: tuple[bytes, ...]
    trailer: bytes
    chain_digest: bytes


def disks_of(*sizes: int) -> tuple[DiskGeometry, ...]:
    return tuple(
        DiskGeometry(f"disk-{number}", f"disk-{number}.vhdx", size, 512)
        for number, size in enumerate(sizes)
    )


def machine_of(disks: Sequence[DiskGeometry], name: str = "mail") -> bytes:
    return MachineDescription(
        machine_id="vm-1",
        name=name,
        hardware_generation=2,
        processors=2,
        memory_bytes=1 << 30,
        firmware="uefi",
        disks=tuple(
            Disk(disk.disk_id, disk.name, disk.size, disk.logical_sector_size, "scsi", 0, number)
            for number, disk in enumerate(disks)
        ),
        nics=(),
    ).to_json()


@dataclass(frozen=True, slots=True)
class Chunk:
    number: int
    records: bytes
    payloads: tuple[bytes, ...]
    watermarks: tuple[int, ...]
    digest: bytes


def pass_header(
    head: Head,
    disks: tuple[DiskGeometry, ...],
    *,
    attempt: int = 1,
    epoch: int = 1,
    protection_id: str = PROTECTION,
) -> SegmentHeader:
    """Return the header of the pass that leads to the first point."""
    return SegmentHeader(
        protection_id=protection_id,
        epoch=epoch,
        generation=head.generation,
        sequence=1,
        attempt=attempt,
        previous=NO_POINT,
        kind=SegmentKind.INITIAL,
        disks=disks,
    )


def build_chunk(
    header: SegmentHeader,
    writes: Sequence[Write],
    *,
    number: int = 1,
    previous: bytes = NO_POINT,
    watermarks: tuple[int, ...] | None = None,
    codec: Codec = Codec.NONE,
) -> Chunk:
    """Return a chunk of a pass; without watermarks it covers the disks."""
    found = [stored(write, codec) for write in writes]
    records = b"".join(record for record, _ in found)
    marks = tuple(disk.size for disk in header.disks) if watermarks is None else watermarks
    digest = ChunkDigest(header, number, previous)
    digest.add_records(records)
    payloads = tuple(payload for _, payload in found if payload)
    return Chunk(number, records, payloads, marks, digest.finish(marks))


def build_pass_end(
    header: SegmentHeader,
    digest: bytes,
    *,
    records: int,
    payload_bytes: int,
    machine: bytes | None = None,
) -> tuple[bytes, bytes]:
    """Return trailer and chain digest of a pass whose last chunk has this digest."""
    started = STARTED + timedelta(minutes=1)
    trailer = SegmentTrailer(
        capture_started_at=started,
        capture_ended_at=started + timedelta(seconds=1),
        kind=PointKind.CRASH_CONSISTENT,
        name="",
        disks=header.disks,
        machine=machine or machine_of(header.disks),
        records=records,
        payload_bytes=payload_bytes,
    ).encode()
    chain = ChainDigest(header)
    chain.add_records(digest)
    return trailer, chain.finish(trailer)


def explicit(disk: int, size: int, writes: Sequence[Write]) -> list[Write]:
    """Return the writes of one disk with zeros wherever they write nothing, as a pass has them."""
    found, reached = [], 0
    for write in [*(write for write in writes if write.disk == disk), Write(disk, size, b"")]:
        if write.offset > reached:
            found.append(Write(disk, reached, write.offset - reached))
        length = write.data if isinstance(write.data, int) else len(write.data)
        if length:
            found.append(write)
        reached = write.offset + length
    return found


def build_segment(
    head: Head,
    disks: tuple[DiskGeometry, ...],
    writes: Sequence[Write],
    *,
    attempt: int = 1,
    name: str = "",
    machine: bytes | None = None,
    epoch: int = 1,
    protection_id: str = PROTECTION,
    codec: Codec = Codec.NONE,
) -> Segment:
    """Return the segment that follows the head; the writes of each disk must ascend."""
    is_first = head.sequence == 0
    header = SegmentHeader(
        protection_id=protection_id,
        epoch=epoch,
        generation=head.generation,
        sequence=head.sequence + 1,
        attempt=attempt,
        previous=head.chain_digest,
        kind=SegmentKind.INITIAL if is_first else SegmentKind.DELTA,
        disks=disks,
    )
    found = [stored(write, codec) for write in writes]
    records = [record for record, _ in found]
    payloads = tuple(payload for _, payload in found if payload)
    started = STARTED + timedelta(minutes=header.sequence)
    trailer = SegmentTrailer(
        capture_started_at=started,
        capture_ended_at=started + timedelta(seconds=1),
        kind=PointKind.NAMED if name else PointKind.CRASH_CONSISTENT,
        name=name,
        disks=disks,
        machine=machine or (machine_of(disks) if is_first else None),
        records=len(records),
        payload_bytes=sum(len(payload) for payload in payloads),
    ).encode()
    chain = ChainDigest(header)
    chain.add_records(b"".join(records))
    return Segment(header.encode(), b"".join(records), payloads, trailer, chain.finish(trailer))


def stored(write: Write, codec: Codec) -> tuple[bytes, bytes]:
    """Return the record of a write and what follows it."""
    if isinstance(write.data, int):
        return zero_record(write.disk, write.offset, write.data), b""
    packed = compress(codec, write.data)
    if packed is None:
        return data_record(write.disk, write.offset, write.data), write.data
    return data_record(write.disk, write.offset, write.data, codec, len(packed)), packed


def painted(content: Sequence[bytes], writes: Sequence[Write]) -> tuple[bytes, ...]:
    """Return the disks after the writes."""
    disks = [bytearray(disk) for disk in content]
    for write in writes:
        data = bytes(write.data) if isinstance(write.data, int) else write.data
        disks[write.disk][write.offset : write.offset + len(data)] = data
    return tuple(bytes(disk) for disk in disks)
