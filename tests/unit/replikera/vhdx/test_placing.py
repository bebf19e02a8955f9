"""Entries of blocks one behind the other, around those of sector bitmaps."""

from replikera.vhdx.bat import BlockAllocationTable
from replikera.vhdx.pages import Pages
from replikera.vhdx.placing import place_blocks
from tests.unit.replikera.vhdx.foreign_file import MIB, entry
from tests.unit.replikera.vhdx.test_bat import REGION, file_with, geometry


def test_blocks_get_places_from_the_first_on() -> None:
    metadata = geometry(40 * 256 * MIB, 256 * MIB)
    file = file_with({0: entry(2)})
    place_blocks(file, metadata, REGION, first=14, place=100 * MIB)
    found = BlockAllocationTable(REGION, metadata, Pages(file)).entries(0, 40).tolist()

    assert found[:14] == [entry(2)] + [0] * 13
    assert found[14:] == [entry(6, 100 + 256 * number) for number in range(26)]
