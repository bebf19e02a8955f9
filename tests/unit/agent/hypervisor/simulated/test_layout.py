from itertools import pairwise

import pytest

from agent.hypervisor.simulated.layout import (
    BLOCK,
    LARGEST_REGION,
    SLOT_BYTES,
    DiskTooSmallError,
    region_of,
)

SIZES = [4 << 20, (4 << 20) + 512, 5 << 20, 127 << 20, 128 << 20, 1 << 40]


@pytest.mark.parametrize("size", SIZES)
def test_the_region_is_in_the_upper_half_of_the_disk(size: int) -> None:
    region = region_of(size)
    assert region.offset >= size // 2 - BLOCK
    assert size - BLOCK < region.offset + region.length <= size
    assert region.length <= min(LARGEST_REGION, size // 2)
    assert region.offset % BLOCK == region.length % BLOCK == 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("is_full", [True, False])
def test_nothing_in_the_region_overlaps(size: int, *, is_full: bool) -> None:
    region = region_of(size)
    ring = region.ring_size if is_full else 3
    places = [(offset, BLOCK) for offset in region.superblocks]
    places += [(region.record(index, ring), BLOCK) for index in range(ring)]
    places += [(region.slot(index, ring), SLOT_BYTES) for index in range(ring + 1)]
    places.sort()
    assert all(start + length <= after for (start, length), (after, _) in pairwise(places))
    assert places[0][0] == region.offset
    assert sum(places[-1]) == region.offset + region.length


def test_records_and_slots_go_round() -> None:
    region = region_of(8 << 20)
    assert region.record(5, 5) == region.record(0, 5)
    assert region.slot(6, 5) == region.slot(0, 5)
    assert region.slot(5, 5) != region.slot(0, 5)


def test_a_small_disk_is_refused() -> None:
    with pytest.raises(DiskTooSmallError, match="4 MiB or more"):
        region_of((4 << 20) - 512)
