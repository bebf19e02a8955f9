import struct
import uuid

import pytest

from replikera.vhdx.errors import VhdxError
from replikera.vhdx.metadata import Metadata, read_metadata
from replikera.vhdx.regions import Region
from tests.unit.replikera.vhdx import foreign_file
from tests.unit.replikera.vhdx.foreign_file import MIB, STRANGER, Item, items
from tests.unit.replikera.vhdx.memory_file import MemoryFile

REGION = Region("the metadata", 2 * MIB, MIB)


def read(content: list[Item]) -> Metadata:
    return read_metadata(MemoryFile(foreign_file.build(content=content)), REGION)


def without(item_id: uuid.UUID) -> list[Item]:
    return [item for item in items() if item[0] != item_id]


def test_the_items_of_another_writer_are_read() -> None:
    found = read(items(size=5 * MIB, block_size=2 * MIB, flags=1, sectors=(4096, 4096)))

    assert (found.disk_size, found.block_size, found.block_count) == (5 * MIB, 2 * MIB, 3)
    assert (found.logical_sector_size, found.physical_sector_size) == (4096, 4096)
    assert found.leaves_blocks_allocated
    assert found.disk_id == foreign_file.DISK_ID


@pytest.mark.parametrize(
    ("block_size", "sector", "ratio"),
    [(MIB, 512, 4096), (32 * MIB, 512, 128), (256 * MIB, 512, 16), (2 * MIB, 4096, 16384)],
)
def test_a_chunk_is_as_many_blocks_as_one_sector_bitmap_covers(
    block_size: int, sector: int, ratio: int
) -> None:
    found = read(items(size=block_size, block_size=block_size, sectors=(sector, 4096)))

    assert found.chunk_ratio == ratio


def test_what_is_encoded_is_read_back() -> None:
    metadata = Metadata(
        block_size=8 * MIB,
        leaves_blocks_allocated=False,
        disk_size=12 * MIB + 512,
        disk_id=foreign_file.STRANGER,
        logical_sector_size=512,
        physical_sector_size=4096,
    )
    file = MemoryFile(bytes(2 * MIB) + metadata.encode().ljust(MIB, b"\0"))

    assert read_metadata(file, REGION) == metadata


def test_the_items_are_encoded_where_windows_puts_them() -> None:
    encoded = Metadata(MIB, True, MIB, foreign_file.DISK_ID, 512, 4096).encode()

    assert encoded == foreign_file.metadata(items(size=MIB, flags=1))


def test_unknown_optional_items_and_anything_of_a_user_are_left_alone() -> None:
    extra = [(STRANGER, b"note", 0), (foreign_file.PARENT_LOCATOR, b"mine", 1)]

    assert read(items() + extra).disk_size == 4 * MIB


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (items(flags=2), "it has a parent, and no parent locator"),
        (
            [*items(flags=2), (foreign_file.PARENT_LOCATOR, bytes(20), 4)],
            "its parent is of type 00000000",
        ),
        ([*items(), (foreign_file.INCOMPLETE, b"", 0)], "marked incomplete.*Repeat"),
        ([*items(), (STRANGER, b"new", 4)], f"item {STRANGER} is required"),
        ([*items(), (STRANGER, b"new", 5)], f"item {STRANGER} is required"),
        (items() + items()[:1], "the file parameters is listed twice"),
        (without(foreign_file.DISK_SIZE), "virtual disk size is missing"),
        (without(foreign_file.DISK_ID_ITEM), "virtual disk id is missing"),
        (
            [*without(foreign_file.DISK_SIZE), (foreign_file.DISK_SIZE, bytes(4), 6)],
            "the virtual disk size in the metadata, 4 bytes",
        ),
        (items(block_size=3 * MIB), "block size is 3145728"),
        (items(block_size=512 * MIB), "block size is 536870912"),
        (items(block_size=0), "block size is 0"),
        (items(sectors=(1024, 4096)), "logical sector size is 1024"),
        (items(sectors=(512, 0)), "physical sector size is 0"),
        (items(size=0), "virtual disk size is 0"),
        (items(size=MIB + 100), "not a whole number of sectors"),
        (items(size=MIB + 512, sectors=(4096, 4096)), "not a whole number of sectors"),
        (items(size=(64 << 40) + 512), "not 1 byte to 64 TiB"),
    ],
)
def test_what_metadata_may_not_say_is_refused(content: list[Item], problem: str) -> None:
    with pytest.raises(VhdxError, match=problem):
        read(content)


@pytest.mark.parametrize("offset", [0, 65535, MIB - 7, 0xFFFFFFFF])
def test_an_item_outside_the_items_part_of_the_region_is_refused(offset: int) -> None:
    file = MemoryFile(foreign_file.build())
    struct.pack_into("<I", file.content, REGION.offset + 32 + 16, offset)

    with pytest.raises(VhdxError, match="the file parameters in the metadata, 8 bytes"):
        read_metadata(file, REGION)


@pytest.mark.parametrize(("offset", "value"), [(0, b"metadatA"), (10, b"\xff\xff")])
def test_a_damaged_table_is_refused(offset: int, value: bytes) -> None:
    file = MemoryFile(foreign_file.build())
    file.content[REGION.offset + offset : REGION.offset + offset + len(value)] = value

    with pytest.raises(VhdxError, match="metadata table is not valid"):
        read_metadata(file, REGION)


def test_a_region_without_room_for_its_table_is_refused() -> None:
    with pytest.raises(VhdxError, match="too short for its table"):
        read_metadata(MemoryFile(foreign_file.build()), Region("the metadata", 2 * MIB, 0))
