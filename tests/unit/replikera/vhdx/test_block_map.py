"""Runs and extents: where the bytes of a disk come from, in as few pieces as the file allows."""

from replikera.vhdx.bat import ABSENT, BlockAllocationTable
from replikera.vhdx.bitmaps import SectorBitmaps
from replikera.vhdx.block_map import FROM_PARENT, BlockMap, Extent, ExtentKind
from replikera.vhdx.metadata import Metadata
from replikera.vhdx.pages import Pages
from tests.unit.replikera.vhdx.foreign_file import MIB, entry
from tests.unit.replikera.vhdx.test_bat import PARENT, REGION, file_with, geometry


def map_of(entries: dict[int, int], metadata: Metadata) -> BlockMap:
    file = file_with(entries)
    pages = Pages(file)
    table = BlockAllocationTable(REGION, metadata, pages)
    return BlockMap(metadata, table, SectorBitmaps(table, metadata, pages))


def test_runs_join_neighbours_in_the_file_and_gaps() -> None:
    places = {0: entry(6, 4), 1: entry(6, 5), 4: entry(6, 7), 5: entry(6, 6)}

    assert list(map_of(places, geometry(6 * MIB)).runs(512, 6 * MIB - 1024)) == [
        (4 * MIB + 512, 2 * MIB - 512),
        (ABSENT, 2 * MIB),
        (7 * MIB, MIB),
        (6 * MIB, MIB - 512),
    ]


def test_a_range_without_bytes_has_no_runs_and_no_extents() -> None:
    blocks = map_of({}, geometry(4 * MIB))

    assert list(blocks.runs(4 * MIB, 0)) == []
    assert list(blocks.extents(4 * MIB, 0)) == []


def test_without_a_block_a_childs_bytes_are_the_parents() -> None:
    blocks = map_of({1: entry(2)}, geometry(4 * MIB, parent=PARENT))

    assert list(blocks.runs(0, 4 * MIB)) == [
        (FROM_PARENT, MIB),
        (ABSENT, MIB),
        (FROM_PARENT, 2 * MIB),
    ]
    assert list(blocks.runs(100, 10)) == [(FROM_PARENT, 10)]


def test_extents_of_one_kind_are_joined_wherever_they_lie() -> None:
    places = {0: entry(6, 6), 1: entry(6, 4), 2: entry(3), 3: entry(5), 4: entry(1)}

    assert list(map_of(places, geometry(6 * MIB)).extents(512, 6 * MIB - 512)) == [
        Extent(512, 2 * MIB - 512, ExtentKind.DATA),
        Extent(2 * MIB, 2 * MIB, ExtentKind.UNMAPPED),
        Extent(4 * MIB, 2 * MIB, ExtentKind.ZERO),
    ]


def test_the_extents_of_a_huge_disk_are_few() -> None:
    metadata = geometry(120_000 * MIB)

    assert list(map_of({100_000: entry(6, 4)}, metadata).extents(0, metadata.disk_size)) == [
        Extent(0, 99_976 * MIB, ExtentKind.ZERO),
        Extent(99_976 * MIB, MIB, ExtentKind.DATA),
        Extent(99_977 * MIB, 20_023 * MIB, ExtentKind.ZERO),
    ]
