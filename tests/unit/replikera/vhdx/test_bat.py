"""The block table: entries by block, around those of sector bitmaps, in pages."""

import uuid

import pytest

from replikera.vhdx.bat import ABSENT, BlockAllocationTable, entry_count
from replikera.vhdx.locator import ParentLocator
from replikera.vhdx.metadata import Metadata
from replikera.vhdx.pages import Pages
from replikera.vhdx.regions import Region
from tests.unit.replikera.vhdx import foreign_file
from tests.unit.replikera.vhdx.foreign_file import MIB, entry
from tests.unit.replikera.vhdx.memory_file import MemoryFile

REGION = Region("the block allocation table", 3 * MIB, MIB)
PARENT = ParentLocator((uuid.UUID(int=7),), (("relative_path", "parent.vhdx"),))


def geometry(size: int, block_size: int = MIB, *, parent: ParentLocator | None = None) -> Metadata:
    return Metadata(block_size, False, size, uuid.UUID(int=1), 512, 4096, parent)


def file_with(entries: dict[int, int], file_mib: int = 8) -> MemoryFile:
    return MemoryFile(foreign_file.build(entries=entries, file_mib=file_mib))


def table_of(
    entries: dict[int, int], metadata: Metadata | None = None
) -> tuple[Pages, BlockAllocationTable]:
    file = file_with(entries)
    found = metadata or geometry(4 * MIB)
    pages = Pages(file)
    return pages, BlockAllocationTable(REGION, found, pages)


@pytest.mark.parametrize(
    ("blocks", "has_parent", "expected"),
    [
        (1, False, 1),
        (16, False, 16),
        (17, False, 18),
        (40, False, 42),
        (40, True, 51),
        (1, True, 17),
    ],
)
def test_the_number_of_entries_is_the_formats(blocks: int, has_parent: bool, expected: int) -> None:
    parent = PARENT if has_parent else None
    metadata = geometry(blocks * 256 * MIB, 256 * MIB, parent=parent)  # chunks of 16 blocks

    assert entry_count(metadata) == expected


def test_the_entries_of_sector_bitmaps_are_passed_over() -> None:
    metadata = geometry(40 * 256 * MIB, 256 * MIB)
    marks = {0: entry(2), 15: entry(1), 16: entry(6, 1), 17: entry(3), 33: entry(6, 1)}
    _, table = table_of(marks, metadata)

    assert [table.entry(block) for block in (0, 15, 16, 32)] == [entry(2), entry(1), entry(3), 0]
    assert table.entries(0, 40).tolist() == [
        entry(2) if block == 0 else entry(1) if block == 15 else entry(3) if block == 16 else 0
        for block in range(40)
    ]
    assert table.entries(16, 3).tolist() == [entry(3), 0, 0]
    assert table.entries(5, 0).tolist() == []


def test_a_sector_bitmap_has_a_place_once_it_is_there() -> None:
    metadata = geometry(40 * 256 * MIB, 256 * MIB, parent=PARENT)
    _, table = table_of({16: entry(6, 5), 50: entry(6, 6)}, metadata)

    assert [table.bitmap_place(chunk) for chunk in range(3)] == [5 * MIB, ABSENT, 6 * MIB]


def test_changes_lie_around_the_entries_of_sector_bitmaps() -> None:
    metadata = geometry(40 * 256 * MIB, 256 * MIB)
    pages, table = table_of({16: entry(6, 1)}, metadata)

    table.set_entry(15, entry(6, 256))
    table.set_entry(16, entry(6, 512))

    assert table.entries(15, 2).tolist() == [entry(6, 256), entry(6, 512)]
    assert [pages.number(REGION.offset + index * 8) for index in (15, 16, 17)] == [
        entry(6, 256),
        entry(6, 1),
        entry(6, 512),
    ]


def test_a_bitmap_gets_a_place() -> None:
    _, table = table_of({}, geometry(40 * 256 * MIB, 256 * MIB, parent=PARENT))
    table.set_bitmap_place(1, 9 * MIB)

    assert [table.bitmap_place(chunk) for chunk in range(3)] == [ABSENT, 9 * MIB, ABSENT]
