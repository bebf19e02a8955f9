"""The workload's records: what each says, and how a guest proves that none is missing, old or altered.

All disks of a machine share one chain: record n is on disk n modulo the number of disks, and has the digest of record
n - 1. A view in which one disk is a moment older than another therefore has a gap.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from struct import Struct
from typing import Protocol, TypeAlias
from uuid import UUID

from blake3 import blake3

from agent.hypervisor.simulated.layout import (
    BLOCK,
    SLOT_BYTES,
    DiskTooSmallError,
    region_of,
)

_DIGEST_BYTES = 32
_NOTHING = bytes(BLOCK)
_START = bytes(_DIGEST_BYTES)
_SUPERBLOCK = Struct("<8s16sIII")
_SUPERBLOCK_MAGIC = b"rk-chain"
_RECORD = Struct("<8s16sQI32s32s")
_RECORD_MAGIC = b"rk-recrd"


class BrokenChainError(Exception):
    """The records do not hold together; the message says where."""


class ReadableDisk(Protocol):
    """A disk that a guest reads."""

    @property
    def size(self) -> int:
        """Return the size in bytes."""

    def read(self, length: int, offset: int) -> bytes:
        """Return exactly `length` bytes."""


@dataclass(frozen=True, slots=True)
class Superblock:
    """Which workload a disk belongs to, and as which of its disks."""

    workload_id: UUID
    disk_count: int
    disk_index: int
    ring_size: int

    def encode(self) -> bytes:
        """Return the block."""
        return _sealed(
            _SUPERBLOCK.pack(
                _SUPERBLOCK_MAGIC,
                self.workload_id.bytes,
                self.disk_count,
                self.disk_index,
                self.ring_size,
            )
        )


@dataclass(frozen=True, slots=True)
class Record:
    """One record: it vouches for `length` bytes of data and for the record before it."""

    workload_id: UUID
    sequence: int
    length: int
    data_digest: bytes
    previous: bytes

    def encode(self) -> bytes:
        """Return the block; its last bytes are its digest."""
        return _sealed(
            _RECORD.pack(
                _RECORD_MAGIC,
                self.workload_id.bytes,
                self.sequence,
                self.length,
                self.data_digest,
                self.previous,
            )
        )


@dataclass(frozen=True, slots=True)
class Chain:
    """A verified chain: where it stands, and where its disks are in the machine."""

    workload_id: UUID
    ring_size: int
    places: tuple[int, ...]
    newest: int
    digest: bytes
    verified: int

    def place(self, sequence: int) -> tuple[int, int]:
        """Return the machine's disk that has a record, and the record's index there."""
        return self.places[sequence % len(self.places)], sequence // len(self.places)


def new_chain(workload_id: UUID, disk_sizes: Sequence[int]) -> Chain:
    """Return the empty chain of a workload on new disks. Raises `DiskTooSmallError`."""
    if not disk_sizes:
        raise DiskTooSmallError("A machine without disks has no room for a workload. Give it one.")
    ring_size = min(region_of(size).ring_size for size in disk_sizes)
    return Chain(workload_id, ring_size, tuple(range(len(disk_sizes))), 0, _START, 0)


def content_of(workload_id: UUID, sequence: int) -> bytes:
    """Return the data of one step: 4 to 64 KiB that nobody else writes."""
    seed = blake3(workload_id.bytes + sequence.to_bytes(8, "little"))
    blocks = 1 + seed.digest()[0] % (SLOT_BYTES // BLOCK)
    return seed.digest(blocks * BLOCK)


def next_step(chain: Chain) -> tuple[Record, bytes]:
    """Return the next record and its data."""
    sequence = chain.newest + 1
    data = content_of(chain.workload_id, sequence)
    record = Record(chain.workload_id, sequence, len(data), blake3(data).digest(), chain.digest)
    return record, data


def digest_of(block: bytes) -> bytes:
    """Return a record's digest."""
    return block[-_DIGEST_BYTES:]


def read_chain(disks: Sequence[ReadableDisk]) -> Chain | None:
    """Verify everything that the records vouch for; None where the disks have no records.

    Raises `BrokenChainError`.
    """
    found = {place: copies for place, disk in enumerate(disks) if (copies := _superblocks(disk))}
    if not found or _is_unfinished(disks, found):
        return None
    superblock, places = _one_set(found)
    if superblock.ring_size not in range(1, _room(disks[place] for place in places) + 1):
        raise BrokenChainError(f"the superblock speaks of {superblock.ring_size} records a disk")
    chain = Chain(superblock.workload_id, superblock.ring_size, places, 0, _START, 0)
    records = dict(_records(disks, chain))
    if not records:
        return chain
    newest = max(records)
    _check_sequence(records, newest, len(places) * chain.ring_size)
    for sequence in sorted(records):
        _check_record(disks, chain, records, sequence)
    return replace(chain, newest=newest, digest=records[newest][1], verified=len(records))


_Copies: TypeAlias = tuple[Superblock | None, Superblock | None]
_Records: TypeAlias = dict[int, tuple[Record, bytes]]


def _superblocks(disk: ReadableDisk) -> _Copies | None:
    """Return both copies, each None where it is damaged; None where the disk has neither."""
    try:
        region = region_of(disk.size)
    except DiskTooSmallError:
        return None
    first, second = (disk.read(BLOCK, offset) for offset in region.superblocks)
    if not (first.startswith(_SUPERBLOCK_MAGIC) or second.startswith(_SUPERBLOCK_MAGIC)):
        return None
    return _decode_superblock(first), _decode_superblock(second)


def _is_unfinished(disks: Sequence[ReadableDisk], found: dict[int, _Copies]) -> bool:
    """Tell whether these are disks on which the superblocks were being written, all else being empty."""
    valid = [copy for copies in found.values() for copy in copies if copy is not None]
    is_complete = len(valid) == 2 * len(disks)
    if is_complete or not valid or valid[0].disk_count != len(disks):
        return False
    ring_size = valid[0].ring_size
    return ring_size <= _room(disks) and not any(any(_ring(disk, ring_size)) for disk in disks)


def _one_set(found: dict[int, _Copies]) -> tuple[Superblock, tuple[int, ...]]:
    """Return a superblock, and by the disks' index their places in the machine."""
    places: dict[int, int] = {}
    sets = set()
    superblock = None
    for place, (first, second) in found.items():
        if first is None or first != second:
            raise BrokenChainError(f"a superblock of disk {place} is damaged")
        superblock = first
        places[first.disk_index] = place
        sets.add((first.workload_id, first.disk_count, first.ring_size))
    if superblock is None or len(sets) != 1 or len(places) != len(found):
        raise BrokenChainError("the disks have records of different machines")
    if sorted(places) != list(range(superblock.disk_count)):
        raise BrokenChainError(
            f"the records are on {superblock.disk_count} disks, not all are here"
        )
    return superblock, tuple(places[index] for index in sorted(places))


def _records(
    disks: Sequence[ReadableDisk], chain: Chain
) -> Iterator[tuple[int, tuple[Record, bytes]]]:
    """Yield by sequence number every record that is in its place, with its digest."""
    for place in chain.places:
        ring = _ring(disks[place], chain.ring_size)
        for position in range(chain.ring_size):
            block = ring[position * BLOCK : (position + 1) * BLOCK]
            if block == _NOTHING:
                continue
            record = _decode_record(block)
            if record is None or record.workload_id != chain.workload_id:
                raise BrokenChainError(f"record {position} of disk {place} is damaged")
            own_place, index = chain.place(record.sequence)
            if own_place != place or index % chain.ring_size != position:
                raise BrokenChainError(f"record {record.sequence} is in the place of another")
            yield record.sequence, (record, digest_of(block))


def _check_sequence(records: _Records, newest: int, capacity: int) -> None:
    oldest = max(1, newest - capacity + 1)
    for sequence in range(oldest, newest + 1):
        if sequence not in records:
            raise BrokenChainError(f"record {sequence} is missing between {oldest} and {newest}")
    if min(records) < oldest:
        raise BrokenChainError(f"record {min(records)} is older than it can be beside {newest}")


def _check_record(
    disks: Sequence[ReadableDisk], chain: Chain, records: _Records, sequence: int
) -> None:
    record, _ = records[sequence]
    before = records.get(sequence - 1)
    expected = before[1] if before is not None else _START
    if (before is not None or sequence == 1) and record.previous != expected:
        raise BrokenChainError(f"record {sequence} does not follow record {sequence - 1}")
    place, index = chain.place(sequence)
    disk = disks[place]
    data = disk.read(record.length, region_of(disk.size).slot(index, chain.ring_size))
    if blake3(data).digest() != record.data_digest:
        raise BrokenChainError(f"the data of record {sequence} on disk {place} is not what it was")


def _ring(disk: ReadableDisk, ring_size: int) -> bytes:
    return disk.read(ring_size * BLOCK, region_of(disk.size).record(0, ring_size))


def _room(disks: Iterable[ReadableDisk]) -> int:
    """Return how many records fit on each of the disks."""
    try:
        return min(region_of(disk.size).ring_size for disk in disks)
    except DiskTooSmallError:
        return 0


def _sealed(fields: bytes) -> bytes:
    block = fields.ljust(BLOCK - _DIGEST_BYTES, b"\0")
    return block + blake3(block).digest()


def _is_sealed(block: bytes) -> bool:
    return blake3(block[:-_DIGEST_BYTES]).digest() == digest_of(block)


def _decode_superblock(block: bytes) -> Superblock | None:
    magic, workload_id, count, index, ring_size = _SUPERBLOCK.unpack_from(block)
    if magic != _SUPERBLOCK_MAGIC or not _is_sealed(block):
        return None
    return Superblock(UUID(bytes=workload_id), count, index, ring_size)


def _decode_record(block: bytes) -> Record | None:
    magic, workload_id, sequence, length, digest, previous = _RECORD.unpack_from(block)
    if magic != _RECORD_MAGIC or not _is_sealed(block) or not 0 < length <= SLOT_BYTES:
        return None
    return Record(UUID(bytes=workload_id), sequence, length, digest, previous)
