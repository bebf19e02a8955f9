"""The workload's records: what each says, and how a guest proves that none is missing, old or altered.

All disks of a machine share one chain: record n is on disk n modulo the number of disks, and has the digest of record
n - 1. A view in which one disk is a moment older than another therefore has a gap.

A guest that is asked to hold still, or to shut down, closes its log: the record that it ends with says so. So a view
shows by itself whether the applications were ready for it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias
from uuid import UUID

from blake3 import blake3

from agent.hypervisor.simulated.layout import (
    BLOCK,
    SLOT_BYTES,
    SMALLEST_DISK,
    DiskTooSmallError,
    Region,
    region_of,
)
from agent.hypervisor.simulated.records import (
    DIGEST_BYTES,
    Forward,
    Record,
    Superblock,
    digest_of,
)

_NOTHING = bytes(BLOCK)
_START = bytes(DIGEST_BYTES)


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
class Chain:
    """A verified chain: where it stands, where its disks are in the machine, whether its newest record closes it."""

    workload_id: UUID
    ring_size: int
    places: tuple[int, ...]
    newest: int
    digest: bytes
    verified: int
    is_closed: bool = False

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


def next_step(chain: Chain, *, is_closing: bool = False) -> tuple[Record, bytes]:
    """Return the next record and its data."""
    sequence = chain.newest + 1
    data = content_of(chain.workload_id, sequence)
    digest = blake3(data).digest()
    record = Record(chain.workload_id, sequence, len(data), digest, chain.digest, is_closing)
    return record, data


def region_on(disk: ReadableDisk) -> Region:
    """Return where the records of a disk are; it may have been resized since they began.

    Raises `DiskTooSmallError` and `BrokenChainError`.
    """
    return region_of(_laid_out_for(disk))


def forward_for(disk: ReadableDisk, new_size: int) -> tuple[int, bytes] | None:
    """Return where to write what, so that the records of a disk are found when it has another size.

    None where nothing is needed: the disk has no records, or the new size is that which they were laid out for, or has
    no room for them. Raises `BrokenChainError`.
    """
    if min(disk.size, new_size) < SMALLEST_DISK or _superblocks(disk) is None:
        return None
    size = _laid_out_for(disk)
    if size == new_size:
        return None
    return region_of(new_size).superblocks[1], Forward(size).encode()


def forward_on(disk: ReadableDisk) -> tuple[int, int] | None:
    """Return offset and length of the block that says where the records are, None where there is none."""
    if disk.size < SMALLEST_DISK:
        return None
    offset = region_of(disk.size).superblocks[1]
    return (offset, BLOCK) if Forward.is_one(disk.read(BLOCK, offset)) else None


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
    record, digest = records[newest]
    return replace(
        chain, newest=newest, digest=digest, verified=len(records), is_closed=record.is_closing
    )


def _laid_out_for(disk: ReadableDisk) -> int:
    """Return the size of the disk when its records began."""
    block = disk.read(BLOCK, region_of(disk.size).superblocks[1])
    if not Forward.is_one(block):
        return disk.size
    forward = Forward.decode(block)
    if forward is None or not 0 < forward.size < disk.size:
        raise BrokenChainError("the block that says where the records are is damaged")
    return forward.size


_Copies: TypeAlias = tuple[Superblock | None, Superblock | None]
_Records: TypeAlias = dict[int, tuple[Record, bytes]]


def _superblocks(disk: ReadableDisk) -> _Copies | None:
    """Return both copies, each None where it is damaged; None where the disk has neither."""
    try:
        region = region_on(disk)
    except DiskTooSmallError:
        return None
    first, second = (disk.read(BLOCK, offset) for offset in region.superblocks)
    if not (Superblock.is_one(first) or Superblock.is_one(second)):
        return None
    return Superblock.decode(first), Superblock.decode(second)


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
            record = Record.decode(block)
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
    data = disk.read(record.length, region_on(disk).slot(index, chain.ring_size))
    if blake3(data).digest() != record.data_digest:
        raise BrokenChainError(f"the data of record {sequence} on disk {place} is not what it was")


def _ring(disk: ReadableDisk, ring_size: int) -> bytes:
    return disk.read(ring_size * BLOCK, region_on(disk).record(0, ring_size))


def _room(disks: Iterable[ReadableDisk]) -> int:
    """Return how many records fit on each of the disks."""
    try:
        return min(region_on(disk).ring_size for disk in disks)
    except DiskTooSmallError:
        return 0
