import pytest

from replikera.vhdx.errors import VhdxError
from replikera.vhdx.regions import read_region_table
from tests.unit.replikera.vhdx import foreign_file
from tests.unit.replikera.vhdx.foreign_file import BAT, METADATA, MIB, STRANGER, Region
from tests.unit.replikera.vhdx.memory_file import MemoryFile

GOOD: list[Region] = [(BAT, 3 * MIB, MIB, 1), (METADATA, 2 * MIB, MIB, 1)]


def file_with(*regions: Region) -> MemoryFile:
    return MemoryFile(foreign_file.build(regions=regions, file_mib=6))


@pytest.mark.parametrize("required", [0, 1])
def test_known_regions_are_found_whether_or_not_they_say_required(required: int) -> None:
    table = read_region_table(MemoryFile(foreign_file.build(required=required)))

    assert (table.bat.offset, table.metadata.offset, table.others) == (3 * MIB, 2 * MIB, ())


def test_the_block_table_may_come_before_the_metadata() -> None:
    table = read_region_table(MemoryFile(foreign_file.build(bat_at_mib=2, metadata_at_mib=3)))

    assert (table.bat.offset, table.metadata.offset) == (2 * MIB, 3 * MIB)


def test_the_second_copy_counts_when_the_first_is_damaged() -> None:
    file = MemoryFile(foreign_file.build())
    file.content[foreign_file.REGION_TABLES[0] + 100] ^= 1

    assert read_region_table(file).bat.offset == 3 * MIB


def test_two_damaged_copies_are_refused() -> None:
    file = MemoryFile(foreign_file.build())
    for offset in foreign_file.REGION_TABLES:
        file.content[offset + 100] ^= 1

    with pytest.raises(VhdxError, match="neither region table is valid"):
        read_region_table(file)


def test_an_unknown_optional_region_is_kept_out_of_the_way() -> None:
    (other,) = read_region_table(file_with(*GOOD, (STRANGER, 4 * MIB, MIB, 0))).others

    assert (other.offset, other.end) == (4 * MIB, 5 * MIB)


@pytest.mark.parametrize(
    ("regions", "problem"),
    [
        ([*GOOD, (STRANGER, 4 * MIB, MIB, 1)], f"region {STRANGER} is required"),
        ([*GOOD, (BAT, 4 * MIB, MIB, 1)], f"region {BAT} is listed twice"),
        (GOOD[:1], "the metadata region is missing"),
        (GOOD[1:], "the block allocation table region is missing"),
        ([(BAT, 3 * MIB + 512, MIB, 1), GOOD[1]], "not in whole MiB"),
        ([(BAT, 3 * MIB, 4096, 1), GOOD[1]], "not in whole MiB"),
        ([(BAT, 0, MIB, 1), GOOD[1]], "not in whole MiB"),
        ([(BAT, 6 * MIB, MIB, 1), GOOD[1]], "behind the end of the file: it is truncated"),
        ([*GOOD, (STRANGER, (1 << 64) - MIB, MIB, 0)], "behind the end of the file"),
    ],
)
def test_what_a_region_table_may_not_say_is_refused(regions: list[Region], problem: str) -> None:
    with pytest.raises(VhdxError, match=problem):
        read_region_table(file_with(*regions))


def test_more_entries_than_fit_are_refused() -> None:
    file = MemoryFile(foreign_file.build())
    for offset in foreign_file.REGION_TABLES:
        table = bytearray(file.read(64 << 10, offset))
        table[8:12] = (2048).to_bytes(4, "little")
        file.content[offset : offset + len(table)] = foreign_file.sealed(bytes(table))

    with pytest.raises(VhdxError, match="claims 2048 entries"):
        read_region_table(file)
