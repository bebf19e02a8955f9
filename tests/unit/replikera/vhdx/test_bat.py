import uuid

import numpy as np
import pytest

from replikera.blocks.extents import Extents
from replikera.vhdx.bat import ABSENT, BlockAllocationTable, entry_count
from replikera.vhdx.errors import VhdxError
from replikera.vhdx.metadata import Metadata
from replikera.vhdx.regions import Region
from tests.unit.replikera.vhdx import foreign_file
from tests.unit.replikera.vhdx.foreign_file import MIB, entry
from tests.unit.replikera.vhdx.memory_file import MemoryFile

REGION = Region("the block allocation table", 3 * MIB, MIB)
LOG = Region("the log", MIB, MIB)
RESERVED = (LOG, Region("the metadata", 2 * MIB, MIB), REGION)


def geometry(size: int, block_size: int = MIB) -> Metadata:
    return Metadata(block_size, False, size, uuid.UUID(int=1), 512, 4096)


def file_with(entries: dict[int, int], file_mib: int = 8) -> MemoryFile:
    return MemoryFile(foreign_file.build(entries=entries, file_mib=file_mib))


def table_of(
    entries: dict[int, int], metadata: Metadata | None = None, file_mib: int = 8
) -> BlockAllocationTable:
    file = file_with(entries, file_mib)
    return BlockAllocationTable.read(file, REGION, metadata or geometry(4 * MIB), RESERVED)


def test_only_fully_present_blocks_have_a_place() -> None:
    table = table_of({0: entry(2), 1: entry(6, 5), 2: entry(3, 4), 3: entry(6, 4)})

    assert table.places(0, 4).tolist() == [ABSENT, 5 * MIB, ABSENT, 4 * MIB]
    assert table.data_extents() == Extents.of([(MIB, MIB), (3 * MIB, MIB)])


@pytest.mark.parametrize("state", [0, 1, 2, 3, 5])
def test_all_states_without_data_read_as_zeros(state: int) -> None:
    assert table_of({1: entry(state, 6)}).places(1, 1).tolist() == [ABSENT]


def test_reserved_bits_of_an_entry_are_ignored() -> None:
    assert table_of({0: entry(6, 5) | 0xFF8}).places(0, 1).tolist() == [5 * MIB]


def test_data_extents_end_with_the_disk() -> None:
    table = table_of({0: entry(6, 4), 1: entry(6, 5)}, geometry(MIB + 512))

    assert table.data_extents() == Extents.of([(0, MIB + 512)])


def test_the_entries_of_sector_bitmaps_are_passed_over() -> None:
    metadata = geometry(40 * 256 * MIB, 256 * MIB)  # chunks of 16 blocks
    marks = {0: entry(2), 15: entry(1), 16: entry(6, 1), 17: entry(3), 33: entry(6, 1)}
    table = table_of(marks, metadata)

    assert entry_count(metadata) == 42
    assert len(table.data_extents()) == 0
    table.place_blocks({15: 256 * MIB, 16: 512 * MIB, 39: 768 * MIB})
    assert table.data_extents() == Extents.of(
        [(15 * 256 * MIB, 512 * MIB), (39 * 256 * MIB, 256 * MIB)]
    )


def test_changes_are_written_around_the_entries_of_sector_bitmaps() -> None:
    metadata = geometry(40 * 256 * MIB, 256 * MIB)
    file = file_with({16: entry(6, 1)})
    table = BlockAllocationTable.read(file, REGION, metadata, ())
    assert not table.has_changes

    table.place_blocks({15: 256 * MIB, 16: 512 * MIB, 17: 768 * MIB})
    table.write_changes()

    written = [(change.offset - REGION.offset, len(change.data or b"")) for change in file.pending]
    assert written == [(15 * 8, 8), (17 * 8, 16)]
    assert file.read(8, REGION.offset + 16 * 8) == entry(6, 1).to_bytes(8, "little")
    assert file.read(8, REGION.offset + 18 * 8) == entry(6, 768).to_bytes(8, "little")
    assert not table.has_changes


def test_writing_no_changes_writes_nothing() -> None:
    file = file_with({})
    BlockAllocationTable.read(file, REGION, geometry(4 * MIB), RESERVED).write_changes()

    assert not file.pending


def test_a_last_block_cut_behind_the_disks_end_is_accepted() -> None:
    file = file_with({0: entry(6, 4), 1: entry(6, 5)})
    del file.content[5 * MIB + 512 :]
    table = BlockAllocationTable.read(file, REGION, geometry(MIB + 512), RESERVED)

    assert table.end_of_blocks() == 6 * MIB


def test_without_blocks_nothing_is_used() -> None:
    assert table_of({}).end_of_blocks() == 0


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({1: entry(4)}, "block 1 has state 4"),
        ({2: entry(7, 4)}, "block 2 has state 7"),
        ({0: entry(6, 0)}, "block 0 lies outside the file"),
        ({3: entry(6, 8)}, "block 3 lies outside the file"),
        ({3: entry(6, 1 << 43)}, "block 3 lies outside the file"),
        ({3: entry(6, (1 << 43) - 1)}, "block 3 lies outside the file"),
        ({0: entry(6, 5), 2: entry(6, 5)}, "blocks 0 and 2 overlap"),
        ({1: entry(6, 1)}, "block 1 overlaps the log"),
        ({1: entry(6, 3)}, "block 1 overlaps the block allocation table"),
    ],
)
def test_what_a_table_may_not_say_is_refused(entries: dict[int, int], problem: str) -> None:
    with pytest.raises(VhdxError, match=rf"disk\.vhdx: {problem}"):
        table_of(entries)


def test_blocks_that_overlap_in_part_are_refused() -> None:
    with pytest.raises(VhdxError, match="blocks 1 and 0 overlap"):
        table_of({0: entry(6, 5), 1: entry(6, 4)}, geometry(8 * MIB, 2 * MIB))


def test_a_block_that_reaches_into_a_region_is_refused() -> None:
    other = Region("region x", 5 * MIB, MIB)
    file = file_with({0: entry(6, 4)})

    with pytest.raises(VhdxError, match="block 0 overlaps region x"):
        BlockAllocationTable.read(file, REGION, geometry(4 * MIB, 2 * MIB), (other,))


def test_a_region_too_short_for_the_disk_is_refused() -> None:
    with pytest.raises(VhdxError, match="too short for 131073 blocks"):
        table_of({}, geometry(131073 * MIB))


def test_a_table_cut_off_by_the_files_end_is_refused() -> None:
    file = file_with({}, file_mib=4)
    del file.content[3 * MIB + 8 :]

    with pytest.raises(VhdxError, match="table is truncated"):
        BlockAllocationTable.read(file, REGION, geometry(4 * MIB), ())


def test_runs_join_neighbours_in_the_file_and_gaps() -> None:
    metadata = geometry(6 * MIB)
    places = {0: entry(6, 4), 1: entry(6, 5), 4: entry(6, 7), 5: entry(6, 6)}
    table = table_of(places, metadata)

    runs = list(table.runs(512, 6 * MIB - 1024, {}))

    assert runs == [
        (4 * MIB + 512, 2 * MIB - 512),
        (None, 2 * MIB),
        (7 * MIB, MIB),
        (6 * MIB, MIB - 512),
    ]


def test_runs_see_planned_places() -> None:
    assert list(table_of({0: entry(6, 4)}).runs(0, 2 * MIB, {1: 5 * MIB})) == [(4 * MIB, 2 * MIB)]


def test_a_range_without_bytes_has_no_runs() -> None:
    assert list(table_of({}).runs(4 * MIB, 0, {})) == []


def test_undecided_states_become_zeros_and_others_stay() -> None:
    file = file_with({0: entry(1, 4), 1: entry(3), 2: entry(5), 3: entry(6, 5)})
    table = BlockAllocationTable.read(file, REGION, geometry(5 * MIB), RESERVED)

    table.settle_zeros(1, 4)
    table.write_changes()

    stored = np.frombuffer(file.read(40, REGION.offset), dtype="<u8").tolist()
    assert stored == [entry(1, 4), entry(2), entry(2), entry(6, 5), 0]
