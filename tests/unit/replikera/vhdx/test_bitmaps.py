"""Sector bitmaps: the bits of a block in the bitmap of its chunk, lowest bit first."""

import pytest

from replikera.vhdx.bat import BlockAllocationTable
from replikera.vhdx.bitmaps import SectorBitmaps
from replikera.vhdx.errors import VhdxError
from replikera.vhdx.pages import Pages
from tests.unit.replikera.vhdx.foreign_file import MIB, entry
from tests.unit.replikera.vhdx.test_bat import PARENT, REGION, file_with, geometry

METADATA = geometry(40 * 256 * MIB, 256 * MIB, parent=PARENT)  # 16 blocks and 1 MiB of bits a chunk
BITS_A_BLOCK = 256 * MIB // 512


def bitmaps(places: dict[int, int], bits: list[int]) -> SectorBitmaps:
    file = file_with(places)
    for bit in bits:
        file.content[5 * MIB + bit // 8] |= 1 << bit % 8
    pages = Pages(file)
    return SectorBitmaps(BlockAllocationTable(REGION, METADATA, pages), METADATA, pages)


def test_the_bits_of_a_block_begin_behind_those_of_the_blocks_before_it() -> None:
    found = bitmaps({33: entry(6, 5)}, [2 * BITS_A_BLOCK, 2 * BITS_A_BLOCK + 9])

    assert found.bits(18, 0, 11).tolist() == [index in {0, 9} for index in range(11)]
    assert found.bits(18, 3, 7).tolist() == [index == 6 for index in range(7)]
    assert not found.bits(17, 0, 100).any()


def test_a_chunk_without_a_bitmap_is_damage() -> None:
    with pytest.raises(VhdxError, match=r"disk\.vhdx: block 3 is partially present"):
        bitmaps({}, []).bits(3, 0, 1)


def test_bits_are_set_and_told_when_the_block_is_whole() -> None:
    found = bitmaps({33: entry(6, 5)}, [])

    assert not found.set_bits(18, 3, 10)
    assert found.bits(18, 0, 16).tolist() == [3 <= bit < 13 for bit in range(16)]
    assert not found.bits(17, BITS_A_BLOCK - 8, 8).any()
    assert not found.set_bits(18, 0, BITS_A_BLOCK - 1)
    assert found.set_bits(18, BITS_A_BLOCK - 1, 1)
    assert not found.bits(19, 0, 8).any()
    found.clear_bits(18)
    assert not found.bits(18, 0, BITS_A_BLOCK).any()
