from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from agent.hypervisor.simulated.chain import (
    BrokenChainError,
    Chain,
    content_of,
    forward_for,
    forward_on,
    new_chain,
    next_step,
    read_chain,
    region_on,
)
from agent.hypervisor.simulated.layout import BLOCK, DiskTooSmallError, region_of
from agent.hypervisor.simulated.records import Forward, Record, Superblock, digest_of

SIZE = 4 << 20
WORKLOAD = UUID(int=11)
RING = 5


class MemoryDisk:
    """A disk in memory."""

    def __init__(self, size: int = SIZE) -> None:
        self.size = size
        self.data = bytearray(size)

    def read(self, length: int, offset: int) -> bytes:
        assert offset + length <= self.size
        return bytes(self.data[offset : offset + length])

    def write(self, data: bytes, offset: int) -> None:
        self.data[offset : offset + len(data)] = data


def prepared(count: int = 1, *, workload: UUID = WORKLOAD) -> tuple[list[MemoryDisk], Chain]:
    disks = [MemoryDisk() for _ in range(count)]
    chain = replace(new_chain(workload, [disk.size for disk in disks]), ring_size=RING)
    for index, disk in enumerate(disks):
        for offset in region_of(disk.size).superblocks:
            disk.write(Superblock(workload, count, index, RING).encode(), offset)
    return disks, chain


def grow(disks: list[MemoryDisk], chain: Chain, steps: int) -> Chain:
    for _ in range(steps):
        record, data = next_step(chain)
        place, index = chain.place(record.sequence)
        disk = disks[place]
        region = region_of(disk.size)
        disk.write(data, region.slot(index, RING))
        disk.write(record.encode(), region.record(index, RING))
        chain = replace(chain, newest=record.sequence, digest=digest_of(record.encode()))
    return chain


def written(steps: int, disks: int = 1) -> tuple[list[MemoryDisk], Chain]:
    made, chain = prepared(disks)
    return made, grow(made, chain, steps)


@pytest.mark.parametrize("disks", [1, 2, 3])
@pytest.mark.parametrize("steps", [0, 1, 2, 4, 5, 6, 7, 10, 16, 33])
def test_a_whole_chain_is_verified_to_its_end(disks: int, steps: int) -> None:
    made, chain = written(steps, disks)
    assert read_chain(made) == replace(chain, verified=min(steps, disks * RING))


def test_a_chain_is_continued_where_it_stands() -> None:
    disks, _ = written(7)
    found = read_chain(disks)
    assert found is not None
    grow(disks, found, 3)
    again = read_chain(disks)
    assert again is not None
    assert again.newest == 10


def test_the_order_of_the_disks_does_not_matter() -> None:
    disks, chain = written(9, 3)
    found = read_chain([disks[2], disks[0], disks[1]])
    assert found is not None
    assert found.newest == chain.newest
    assert found.places == (1, 2, 0)


def test_disks_without_records_are_said_to_have_none() -> None:
    assert read_chain([]) is None
    assert read_chain([MemoryDisk(), MemoryDisk(1 << 20)]) is None


def test_the_step_in_progress_harms_no_record() -> None:
    disks, chain = written(12)
    record, data = next_step(chain)
    _, index = chain.place(record.sequence)
    disks[0].write(data, region_of(SIZE).slot(index, RING))
    found = read_chain(disks)
    assert found is not None
    assert found.newest == 12


def parts(chain: Chain, sequence: int) -> tuple[int, int]:
    """Return the offsets of a record and of its data."""
    _, index = chain.place(sequence)
    region = region_of(SIZE)
    return region.record(index, RING), region.slot(index, RING)


def flip(disk: MemoryDisk, offset: int) -> None:
    disk.data[offset] ^= 0x10


@pytest.mark.parametrize("steps", [3, 12])
def test_one_changed_byte_anywhere_is_noticed(steps: int) -> None:
    disks, chain = written(steps)
    disk = disks[0]
    offsets = [
        start + within for start in region_of(SIZE).superblocks for within in (0, 9, 40, BLOCK - 1)
    ]
    for sequence in range(max(1, steps - RING + 1), steps + 1):
        record, slot = parts(chain, sequence)
        size = len(content_of(WORKLOAD, sequence))
        offsets += [record, record + 25, record + 2000, record + BLOCK - 1, slot, slot + size - 1]
    for offset in offsets:
        flip(disk, offset)
        with pytest.raises(BrokenChainError):
            read_chain(disks)
        flip(disk, offset)
    assert read_chain(disks) is not None


@pytest.mark.parametrize(("steps", "dropped"), [(4, 1), (4, 2), (12, 8), (12, 10), (12, 12)])
def test_a_dropped_record_is_noticed(steps: int, dropped: int) -> None:
    disks, chain = written(steps)
    disks[0].write(bytes(BLOCK), parts(chain, dropped)[0])
    with pytest.raises(BrokenChainError, match="missing"):
        read_chain(disks)


def test_swapped_records_are_noticed() -> None:
    disks, chain = written(12)
    first, second = parts(chain, 10)[0], parts(chain, 11)[0]
    one, other = disks[0].read(BLOCK, first), disks[0].read(BLOCK, second)
    disks[0].write(other, first)
    disks[0].write(one, second)
    with pytest.raises(BrokenChainError, match="in the place of another"):
        read_chain(disks)


def test_swapped_data_is_noticed() -> None:
    disks, chain = written(12)
    first, second = parts(chain, 10)[1], parts(chain, 11)[1]
    one, other = disks[0].read(BLOCK, first), disks[0].read(BLOCK, second)
    disks[0].write(other, first)
    disks[0].write(one, second)
    with pytest.raises(BrokenChainError, match="data of record"):
        read_chain(disks)


def test_an_old_record_in_a_place_of_its_own_is_noticed() -> None:
    disks, chain = written(12)
    offset = parts(chain, 11)[0]
    old, _ = written(6)
    disks[0].write(old[0].read(BLOCK, offset), offset)
    with pytest.raises(BrokenChainError):
        read_chain(disks)


def test_a_record_that_follows_another_history_is_noticed() -> None:
    disks, chain = written(12)
    offset = parts(chain, 11)[0]
    data = content_of(WORKLOAD, 11)
    forged = Record(WORKLOAD, 11, len(data), digest_of(disks[0].read(BLOCK, offset)), bytes(32))
    disks[0].write(forged.encode(), offset)
    with pytest.raises(BrokenChainError, match="does not follow"):
        read_chain(disks)


def test_one_disk_that_is_a_moment_older_is_noticed() -> None:
    disks, chain = written(12, 2)
    older = MemoryDisk()
    older.data[:] = disks[0].data
    grow(disks, chain, 3)
    with pytest.raises(BrokenChainError, match="missing"):
        read_chain([older, disks[1]])


def test_a_missing_disk_is_noticed() -> None:
    disks, _ = written(12, 2)
    with pytest.raises(BrokenChainError, match="2 disks, not all are here"):
        read_chain(disks[:1])


def test_disks_of_two_machines_are_noticed() -> None:
    disks, _ = written(12)
    others, other_chain = prepared(workload=UUID(int=12))
    grow(others, other_chain, 12)
    with pytest.raises(BrokenChainError, match="different machines"):
        read_chain([*disks, *others])


def test_a_copied_disk_beside_its_original_is_noticed() -> None:
    disks, _ = written(12)
    with pytest.raises(BrokenChainError, match="different machines"):
        read_chain([disks[0], disks[0]])


@pytest.mark.parametrize("ring_size", [0, 10_000])
def test_an_impossible_superblock_is_noticed(ring_size: int) -> None:
    disk = MemoryDisk()
    for offset in region_of(SIZE).superblocks:
        disk.write(Superblock(WORKLOAD, 1, 0, ring_size).encode(), offset)
    with pytest.raises(BrokenChainError, match=f"{ring_size} records"):
        read_chain([disk])


def drop_second_copy(disks: list[MemoryDisk]) -> None:
    disks[0].write(bytes(BLOCK), region_of(SIZE).superblocks[1])


def drop_second_disk(disks: list[MemoryDisk]) -> None:
    for offset in region_of(SIZE).superblocks:
        disks[1].write(bytes(BLOCK), offset)


@pytest.mark.parametrize("drop", [drop_second_copy, drop_second_disk])
def test_preparation_that_was_cut_off_counts_as_none_while_no_record_is_there(
    drop: Callable[[list[MemoryDisk]], None],
) -> None:
    disks, chain = prepared(2)
    drop(disks)
    assert read_chain(disks) is None
    grow(disks, chain, 1)
    with pytest.raises(BrokenChainError):
        read_chain(disks)


def test_content_is_of_its_step_alone() -> None:
    contents = {content_of(WORKLOAD, sequence) for sequence in range(1, 40)}
    assert len(contents) == 39
    assert {len(content) % BLOCK for content in contents} == {0}
    assert min(map(len, contents)) >= BLOCK
    assert max(map(len, contents)) <= 16 * BLOCK
    assert content_of(UUID(int=12), 1) != content_of(WORKLOAD, 1)


def test_a_machine_needs_disks_with_room() -> None:
    with pytest.raises(DiskTooSmallError, match="without disks"):
        new_chain(WORKLOAD, [])
    with pytest.raises(DiskTooSmallError, match="no room"):
        new_chain(WORKLOAD, [SIZE, 1 << 20])


def closed(disks: list[MemoryDisk], chain: Chain) -> Chain:
    record, data = next_step(chain, is_closing=True)
    place, index = chain.place(record.sequence)
    region = region_of(disks[place].size)
    disks[place].write(data, region.slot(index, RING))
    disks[place].write(record.encode(), region.record(index, RING))
    return replace(chain, newest=record.sequence, digest=digest_of(record.encode()))


@pytest.mark.parametrize("steps", [0, 3, 12])
def test_a_log_is_closed_by_its_newest_record_alone(steps: int) -> None:
    disks, chain = written(steps, 2)
    found = read_chain(disks)
    assert found is not None
    assert not found.is_closed
    ended = closed(disks, chain)
    found = read_chain(disks)
    assert found is not None
    assert found.is_closed
    assert found.newest == steps + 1
    grow(disks, ended, 1)
    found = read_chain(disks)
    assert found is not None
    assert not found.is_closed


def resized(disk: MemoryDisk, size: int) -> MemoryDisk:
    """Return the disk with another size, as whoever resizes it leaves it."""
    forward = forward_for(disk, size)
    other = MemoryDisk(size)
    kept = min(size, disk.size)
    other.data[:kept] = disk.data[:kept]
    if forward is not None:
        offset, block = forward
        other.write(block, offset)
    return other


@pytest.mark.parametrize("sizes", [[SIZE + 4096], [6 << 20], [SIZE + 12288, 9 << 20, 7 << 20]])
def test_records_are_found_on_a_disk_that_was_resized(sizes: list[int]) -> None:
    disks, chain = written(7, 2)
    expected = read_chain(disks)
    for size in sizes:
        disks[1] = resized(disks[1], size)
        assert read_chain(disks) == expected
    assert region_on(disks[1]) == region_of(SIZE)
    assert forward_on(disks[1]) is not None
    disks[1] = resized(disks[1], SIZE)
    assert forward_on(disks[1]) is None
    assert read_chain(disks) == expected == replace(chain, verified=7)


def test_a_disk_without_records_needs_no_forward() -> None:
    assert forward_for(MemoryDisk(), 8 << 20) is None
    disks, _ = written(3)
    assert forward_for(disks[0], SIZE) is None


def test_a_forward_that_was_changed_is_noticed() -> None:
    disks, _ = written(3)
    disk = resized(disks[0], 6 << 20)
    place = forward_on(disk)
    assert place is not None
    disk.data[place[0] + 8] ^= 1
    with pytest.raises(BrokenChainError, match="where the records are"):
        read_chain([disk])
    disk.write(Forward(6 << 20).encode(), place[0])
    with pytest.raises(BrokenChainError, match="where the records are"):
        read_chain([disk])
