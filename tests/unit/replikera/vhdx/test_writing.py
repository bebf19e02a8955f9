"""Changing blocks: what is allocated, given back and left alone, in disks of all kinds."""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replikera.ports.randomness import Randomness
from replikera.vhdx import ExtentKind, Image, Parents, create_fixed, create_image, open_image
from tests.support import vhdx_reader
from tests.unit.replikera.vhdx.conftest import SeededRandomness
from tests.unit.replikera.vhdx.foreign_chain import SECTOR, Block, Volume, child, child_items
from tests.unit.replikera.vhdx.foreign_file import MIB, items
from tests.unit.replikera.vhdx.memory_file import MemoryFile
from tests.unit.replikera.vhdx.test_parents import BLOCKS, parent_file

SIZE = 4 * MIB
PARENT = bytes(parent_file())


def parents() -> Parents:
    volume = Volume({"parent.vhdx": PARENT})
    return Parents(volume.open_read, volume.exists)


def opened_child(blocks: dict[int, Block], *, size: int = SIZE) -> tuple[MemoryFile, Image]:
    file = MemoryFile(child(blocks, content=child_items(size=size)))
    image = open_image(file, writable=True, randomness=SeededRandomness(1), parents=parents())
    return file, image


def kinds(image: Image) -> list[tuple[int, str]]:
    return [(extent.length, extent.kind) for extent in image.extents()]


def test_a_sector_written_into_a_child_leaves_the_others_to_the_parent() -> None:
    _, image = opened_child({})
    image.write(b"c" * SECTOR, MIB + 3 * SECTOR)

    assert kinds(image) == [
        (MIB + 3 * SECTOR, ExtentKind.PARENT),
        (SECTOR, ExtentKind.DATA),
        (SIZE - MIB - 4 * SECTOR, ExtentKind.PARENT),
    ]
    assert image.read(3 * SECTOR, MIB + 2 * SECTOR) == (
        b"\2" * SECTOR + b"c" * SECTOR + b"\2" * SECTOR
    )


def test_a_whole_block_of_a_child_needs_no_bitmap() -> None:
    file, image = opened_child({})
    image.write(b"c" * MIB, MIB)

    assert file.size() == 6 * MIB
    assert kinds(image)[1] == (MIB, ExtentKind.DATA)


def test_a_block_whose_sectors_are_all_written_is_whole() -> None:
    file, image = opened_child({})
    image.write(b"c" * (MIB // 2), 0)
    image.write(b"d" * (MIB // 2), MIB // 2)
    image.close()

    assert file.durable[3 * MIB] & 7 == 6


def test_stale_bits_of_another_writer_do_not_hide_the_parent() -> None:
    """Bits of a block that is not partial mean nothing; when it becomes partial, only what was written is here."""
    file, image = opened_child({0: Block(7, b"p" * MIB, frozenset({5})), 1: Block(0)})
    bits = 4 * MIB + (MIB // SECTOR // 8)
    file.write(b"\xff" * 256, bits)  # those of block 1, left by an earlier block
    image.close()
    image = open_image(
        MemoryFile(file.content), writable=True, randomness=SeededRandomness(1), parents=parents()
    )
    image.write(b"c" * SECTOR, MIB + 9 * SECTOR)
    assert image.read(SECTOR, MIB + 30 * SECTOR) == b"\2" * SECTOR
    assert image.read(SECTOR, MIB + 9 * SECTOR) == b"c" * SECTOR


def test_a_child_may_give_blocks_back_whatever_its_flags_say() -> None:
    """LeaveBlocksAllocated is ignored in a child (2.6.2.1)."""
    content = [*items(size=SIZE, flags=3), *child_items(size=SIZE)[-1:]]
    file = MemoryFile(child({1: Block(6, b"p" * MIB)}, content=content))
    image = open_image(file, writable=True, randomness=SeededRandomness(1), parents=parents())
    image.unmap(MIB, MIB)
    assert (MIB, ExtentKind.UNMAPPED) in kinds(image)


def test_zeros_hide_the_parent() -> None:
    file, image = opened_child({3: Block(7, b"p" * MIB, frozenset({5}))})
    size = file.size()
    image.write(bytes(MIB), 0)
    image.zero(MIB, MIB)
    assert file.size() == size

    image.zero(2 * MIB, SECTOR)
    image.write(bytes(SECTOR), 3 * MIB)
    assert image.read(2 * MIB, 0) == bytes(2 * MIB)
    assert image.read(2 * SECTOR, 2 * MIB) == bytes(SECTOR) + b"\3" * SECTOR
    assert image.read(6 * SECTOR, 3 * MIB) == bytes(SECTOR) + b"\4" * (4 * SECTOR) + b"p" * SECTOR


def test_unmapped_blocks_are_given_back_and_used_again(randomness: Randomness) -> None:
    file = MemoryFile()
    image = create_image(file, size=SIZE, block_size=MIB, randomness=randomness)
    image.write(b"a" * (2 * MIB), 0)
    image.flush()
    size = file.size()

    image.unmap(0, MIB + SECTOR)
    assert image.read(2 * MIB, 0) == bytes(MIB + SECTOR) + b"a" * (MIB - SECTOR)
    image.write(b"b" * MIB, 2 * MIB)
    assert file.size() == size + MIB  # the place is free only once the table says so, durably
    image.flush()
    image.write(b"c" * SECTOR, 3 * MIB)

    assert file.size() == size + MIB
    assert image.read(MIB, 3 * MIB) == b"c" * SECTOR + bytes(MIB - SECTOR)
    assert [kind for _, kind in kinds(image)] == [ExtentKind.UNMAPPED, ExtentKind.DATA]


def test_a_fixed_disk_gives_nothing_back(randomness: Randomness) -> None:
    file = MemoryFile()
    image = create_fixed(file, size=SIZE, block_size=MIB, randomness=randomness)
    image.write(b"a" * SIZE, 0)
    image.unmap(MIB, MIB)

    assert image.read(SIZE, 0) == b"a" * MIB + bytes(MIB) + b"a" * (2 * MIB)
    assert kinds(image) == [(SIZE, ExtentKind.DATA)]


def test_a_full_volume_leaves_a_child_as_it_was() -> None:
    file, image = opened_child({})
    image.zero(3 * MIB, MIB)
    size = file.size()
    file.room = 100
    with pytest.raises(OSError, match="No space left"):
        image.write(b"c" * SECTOR, 0)
    file.room = None

    assert file.size() == size
    assert image.read(SIZE, 0) == b"".join(bytes([fill]) * MIB for fill in (1, 2, 3, 0))
    image.write(b"d" * SECTOR, 0)
    assert image.read(2 * SECTOR, 0) == b"d" * SECTOR + b"\1" * SECTOR


def test_a_change_that_fails_gives_no_block_back(randomness: Randomness) -> None:
    file = MemoryFile()
    image = create_image(file, size=SIZE, block_size=MIB, randomness=randomness)
    image.write(b"a" * (2 * MIB), 0)
    image.flush()

    def fail(_offset: int, _length: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    file.zero = fail  # type: ignore[assignment,method-assign]
    with pytest.raises(OSError, match="Input/output"):
        image.unmap(0, MIB + SECTOR)
    del file.zero
    image.flush()
    image.write(b"b" * SECTOR, 3 * MIB)
    image.flush()

    assert image.read(2 * MIB, 0) == b"a" * (2 * MIB)


def test_many_changes_are_committed_between(randomness: Randomness) -> None:
    file = MemoryFile()
    size = 1 << 40
    image = create_image(file, size=size, block_size=MIB, randomness=randomness)
    for number in range(60):
        image.write(b"x" * SECTOR, number * 512 * MIB)
    syncs = file.sync_count

    image.close()
    assert syncs > 1
    assert len(list(open_image(MemoryFile(file.durable)).data_extents())) == 60


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["data", "data", "zeros", "zero", "unmap", "flush", "settle", "reopen"]),
        st.tuples(st.integers(0, SIZE // SECTOR - 1), st.integers(1, 4500)),
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(blocks=BLOCKS, steps=STEPS)
def test_any_sequence_of_changes_of_a_child_reads_like_a_flat_disk(
    blocks: dict[int, Block], steps: list[tuple[str, tuple[int, int]]]
) -> None:
    randomness = SeededRandomness(3)
    file, image = opened_child(blocks)
    model = bytearray(image.read(SIZE, 0))
    for step, (first, count) in steps:
        offset = first * SECTOR
        length = min(count * SECTOR, SIZE - offset)
        data = randomness.bytes(length) if step == "data" else bytes(length)
        match step:
            case "data" | "zeros":
                image.write(memoryview(data), offset)
            case "zero":
                image.zero(offset, length)
            case "unmap":
                image.unmap(offset, length)
            case "flush":
                image.flush()
            case "settle":
                image.settle()
                assert second(file).read(0, SIZE) == model
            case _:
                image.flush()  # and killed: the next opening finds a dirty log
                file = MemoryFile(file.durable)
                image = open_image(file, writable=True, randomness=randomness, parents=parents())
        if step in {"data", "zeros", "zero", "unmap"}:
            model[offset : offset + length] = data
        assert image.read(length, offset) == model[offset : offset + length]
    image.close()

    assert open_image(MemoryFile(file.durable), parents=parents()).read(SIZE, 0) == model
    assert second(file).read(0, SIZE) == model
    image.close()


def second(file: MemoryFile) -> vhdx_reader.Reader:
    def over(content: bytes) -> vhdx_reader.Reader:
        return vhdx_reader.Reader(
            lambda offset, length: content[offset : offset + length],
            open_parent=lambda _: over(PARENT),
        )

    return over(file.durable)
