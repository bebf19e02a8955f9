"""Growing: the old bytes stay, the new ones are zeros, and a crash leaves the old size or the new one."""

import random
import struct
from collections.abc import Callable

import pytest

from replikera.ports.randomness import Randomness
from replikera.vhdx import (
    Image,
    Parents,
    VhdxError,
    create_fixed,
    create_image,
    open_image,
)
from tests.support import vhdx_reader
from tests.unit.replikera.vhdx import foreign_file
from tests.unit.replikera.vhdx.conftest import SeededRandomness
from tests.unit.replikera.vhdx.foreign_chain import Block, Volume, child, child_items
from tests.unit.replikera.vhdx.foreign_file import BAT, METADATA, MIB, STRANGER, entry, items
from tests.unit.replikera.vhdx.memory_file import MemoryFile
from tests.unit.replikera.vhdx.test_crash import crash_states
from tests.unit.replikera.vhdx.test_parents import parent_file

PARENT = bytes(parent_file())


def parents() -> Parents:
    volume = Volume({"parent.vhdx": PARENT})
    return Parents(volume.open_read, volume.exists)


def dynamic() -> tuple[MemoryFile, Image]:
    file = MemoryFile()
    return file, create_image(
        file, size=3 * MIB + 512, block_size=MIB, randomness=SeededRandomness(1)
    )


def fixed() -> tuple[MemoryFile, Image]:
    file = MemoryFile()
    return file, create_fixed(
        file, size=3 * MIB + 512, block_size=MIB, randomness=SeededRandomness(1)
    )


def foreign() -> tuple[MemoryFile, Image]:
    """Return a disk whose block table ends with an unknown region, and whose last block is not clean."""
    regions = [(BAT, 3 * MIB, MIB, 1), (METADATA, 2 * MIB, MIB, 1), (STRANGER, 5 * MIB, MIB, 0)]
    content = items(size=3 * MIB + 512)
    data = foreign_file.build(
        content=content, entries={3: entry(6, 4)}, regions=regions, file_mib=4
    )
    struct.pack_into("<Q", data, 3 * MIB + 8 * 5, entry(6, 4))  # stale, behind the table's end
    file = MemoryFile(data + b"\7" * MIB + b"other" + bytes(MIB - 5))
    return file, open_image(file, writable=True, randomness=SeededRandomness(1))


def differencing() -> tuple[MemoryFile, Image]:
    file = MemoryFile(child({3: Block(7, b"p" * MIB, frozenset({0, 5}))}))
    return file, open_image(file, writable=True, randomness=SeededRandomness(1), parents=parents())


KINDS = [dynamic, fixed, foreign, differencing]


def second(data: bytes) -> vhdx_reader.Reader:
    return vhdx_reader.Reader(
        lambda offset, length: data[offset : offset + length], open_parent=lambda _: second(PARENT)
    )


@pytest.mark.parametrize("make", KINDS)
def test_the_old_bytes_stay_and_the_new_ones_are_zeros(
    make: Callable[[], tuple[MemoryFile, Image]],
) -> None:
    file, image = make()
    image.write(b"x" * 512, 2 * MIB)
    before = image.read(image.size, 0)
    image.grow(9 * MIB)
    image.write(b"new!" * 128, 8 * MIB + 512)
    image.close()

    expected = bytearray(before.ljust(9 * MIB, b"\0"))
    expected[8 * MIB + 512 : 8 * MIB + 1024] = b"new!" * 128
    found = open_image(MemoryFile(file.durable), parents=parents())
    assert found.size == 9 * MIB
    assert found.read(9 * MIB, 0) == expected
    assert second(file.durable).read(0, 9 * MIB) == expected


def test_a_table_that_is_too_small_moves(randomness: Randomness) -> None:
    file = MemoryFile()
    image = create_image(file, size=4 * MIB, block_size=MIB, randomness=randomness)
    image.write(b"x" * MIB, 2 * MIB)
    size = 200_000 * MIB  # a table of 2 MiB
    image.grow(size)
    image.write(b"y" * 512, size - 512)
    image.close()

    found = open_image(MemoryFile(file.durable))
    assert [extent.offset for extent in found.extents() if extent.kind == "data"] == [
        2 * MIB,
        size - MIB,
    ]
    assert found.read(512, size - 512) == b"y" * 512
    assert found.read(MIB, 2 * MIB) == b"x" * MIB


def test_what_a_file_has_beside_the_table_stays() -> None:
    file, image = foreign()
    image.grow(200_000 * MIB)
    image.close()

    assert file.durable[5 * MIB : 5 * MIB + 5] == b"other"
    for offset in foreign_file.REGION_TABLES:
        table = file.durable[offset : offset + (64 << 10)]
        assert table == foreign_file.sealed(table)
        assert STRANGER.bytes_le in table


def test_stale_entries_behind_a_childs_end_do_not_come_to_life() -> None:
    data = child({0: Block(7, b"p" * MIB, frozenset({1}))}, content=child_items(size=2 * MIB))
    struct.pack_into("<Q", data, 3 * MIB + 8 * 3, entry(2))
    struct.pack_into("<Q", data, 3 * MIB + 8 * 2, entry(6, 6))
    file = MemoryFile(data + b"stale" + bytes(MIB - 5))
    image = open_image(file, writable=True, randomness=SeededRandomness(1), parents=parents())
    before = image.read(2 * MIB, 0)
    image.grow(4 * MIB)
    image.close()

    found = open_image(MemoryFile(file.durable), parents=parents())
    assert found.read(4 * MIB, 0) == before + b"\3" * MIB + b"\4" * MIB


def test_a_full_volume_leaves_a_disk_that_can_be_written(randomness: Randomness) -> None:
    """Its table would have to move: what was copied must not show up in the next block."""
    file = MemoryFile()
    image = create_image(file, size=4 * MIB, block_size=MIB, randomness=randomness)
    image.write(b"a" * 512, 0)
    image.settle()
    end = file.size()
    file.room = 16
    with pytest.raises(OSError, match="No space"):
        image.grow(1 << 40)
    file.room = None
    assert (image.size, file.size()) == (4 * MIB, end)
    image.write(b"b" * 512, 2 * MIB)
    image.close()

    again = open_image(MemoryFile(file.durable))
    assert again.read(MIB, 2 * MIB) == (b"b" * 512).ljust(MIB, b"\0")


def test_both_region_tables_tell_the_new_place(randomness: Randomness) -> None:
    file = MemoryFile()
    create_image(file, size=4 * MIB, block_size=MIB, randomness=randomness).close()
    with open_image(file, writable=True, randomness=randomness) as image:
        image.grow(1 << 40)
    first, second = (file.read(64 << 10, offset) for offset in (192 << 10, 256 << 10))
    assert first == second


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("size", [9 * MIB, 140_000 * MIB])
def test_a_crash_leaves_the_old_size_or_the_new_one(
    make: Callable[[], tuple[MemoryFile, Image]], size: int
) -> None:
    if make is fixed:
        size = 9 * MIB  # a larger one does not fit into memory
    file, image = make()
    old, before = image.size, image.read(image.size, 0)
    chance = random.Random(1)
    seen = set()

    def crash() -> None:
        for state in crash_states(file, chance):
            found = open_image(MemoryFile(state), parents=parents())
            assert found.size in {old, size}
            assert found.read(old, 0) == before
            if found.size == size:
                assert not any(found.read(2 * MIB, old) + found.read(MIB, size - MIB))
            seen.add(found.size)

    file.before_sync = crash
    image.grow(size)
    image.close()
    assert seen == {old, size}


@pytest.mark.parametrize("size", [3 * MIB, 4 * MIB + 100, (64 << 40) + 512, 0])
def test_a_size_that_cannot_be_is_refused(size: int) -> None:
    file, image = dynamic()
    durable = file.durable

    with pytest.raises(VhdxError, match="cannot shrink|virtual disk size"):
        image.grow(size)
    assert file.durable == durable


def test_a_disk_opened_for_reading_does_not_grow() -> None:
    with pytest.raises(VhdxError, match="reading only"):
        open_image(MemoryFile(foreign_file.build())).grow(9 * MIB)
