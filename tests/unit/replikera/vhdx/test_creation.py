import struct
import uuid
from pathlib import Path

import pytest

from replikera.blocks.extents import Extents
from replikera.ports.randomness import Randomness
from replikera.system.files import SystemFiles
from replikera.vhdx import (
    Extent,
    ExtentKind,
    ImageKind,
    VhdxError,
    create_child,
    create_fixed,
    create_image,
    open_image,
    open_path,
)
from replikera.vhdx.headers import decode_header
from replikera.vhdx.metadata import carried_items
from replikera.vhdx.regions import read_region_table
from tests.support import vhdx_reader
from tests.unit.replikera.vhdx import foreign_file
from tests.unit.replikera.vhdx.conftest import SeededRandomness
from tests.unit.replikera.vhdx.foreign_file import MIB, items
from tests.unit.replikera.vhdx.memory_file import MemoryFile


def test_a_child_takes_over_what_belongs_to_the_disk() -> None:
    """MS-VHDX 2.6.1.2: a fork has all items with IsVirtualDisk."""
    mine, users, files = (uuid.UUID(int=number) for number in (21, 22, 23))
    content = [*items(), (mine, b"disk", 2), (users, b"users", 3), (files, b"the file", 0)]
    parent = open_image(MemoryFile(foreign_file.build(content=content), "parent.vhdx"))
    assert {item.item_id for item in parent.carried_items()} == {mine, users}

    file = MemoryFile(name="child.vhdx")
    create_child(
        file, parent, parent_path=Path("/volume/parent.vhdx"), randomness=SeededRandomness(1)
    )
    kept = carried_items(file, read_region_table(file).metadata)
    assert {(item.item_id, item.content, item.flags) for item in kept} == {
        (mine, b"disk", 2),
        (users, b"users", 3),
    }


def test_a_child_over_a_disk_that_is_being_written_is_refused() -> None:
    file = MemoryFile(name="parent.vhdx")
    writer = create_image(file, size=4 * MIB, randomness=SeededRandomness(1))
    writer.write(b"1" * 512, 0)
    writer.flush()
    parent = open_image(MemoryFile(file.durable, "parent.vhdx"))
    with pytest.raises(VhdxError, match=r"parent\.vhdx: its log is not empty"):
        create_child(
            MemoryFile(name="child.vhdx"),
            parent,
            parent_path=Path("/volume/parent.vhdx"),
            randomness=SeededRandomness(2),
        )
    writer.settle()
    settled = open_image(MemoryFile(file.durable, "parent.vhdx"))
    assert not settled.needs_its_log


def test_a_new_disk_is_dynamic_empty_and_durable(randomness: Randomness) -> None:
    file = MemoryFile()
    image = create_image(file, size=5 * MIB, randomness=randomness)

    assert (image.kind, image.size, image.block_size) == (ImageKind.DYNAMIC, 5 * MIB, 2 * MIB)
    assert image.logical_sector_size == 512
    assert image.data_extents() == Extents.empty()
    assert image.read(5 * MIB, 0) == bytes(5 * MIB)
    assert open_image(MemoryFile(file.durable)).disk_id == image.disk_id


def test_the_layout_is_that_of_windows(randomness: Randomness) -> None:
    file = MemoryFile()
    create_image(file, size=40 << 40, randomness=randomness)  # its table takes 161 MiB

    first, second = (decode_header(file.read(4096, offset)) for offset in foreign_file.HEADERS)
    assert first
    assert second
    assert second.sequence_number == first.sequence_number + 1
    assert (second.file_write_id, second.data_write_id) == (
        first.file_write_id,
        first.data_write_id,
    )
    assert (first.log_offset, first.log_length, first.log_id) == (MIB, MIB, foreign_file.NIL)
    expected = foreign_file.region_table(
        [
            (foreign_file.METADATA, 2 * MIB, MIB, 1),
            (foreign_file.BAT, 3 * MIB, 161 * MIB, 1),
        ]
    )
    for offset in foreign_file.REGION_TABLES:
        assert file.read(64 << 10, offset) == expected
    assert struct.unpack("<Q", file.read(8, 2 * MIB + (64 << 10) + 8)) == (40 << 40,)
    assert file.size() == 164 * MIB


def test_every_disk_has_ids_of_its_own(randomness: Randomness) -> None:
    disks = {create_image(MemoryFile(), size=MIB, randomness=randomness).disk_id for _ in range(3)}

    assert len(disks) == 3


def test_a_file_with_content_is_never_overwritten(randomness: Randomness) -> None:
    file = MemoryFile(b"x")

    with pytest.raises(VhdxError, match="not empty"):
        create_image(file, size=MIB, randomness=randomness)
    assert file.content == b"x"


@pytest.mark.parametrize(
    ("size", "block_size", "sector", "problem"),
    [
        (0, MIB, 512, "disk size is 0"),
        (MIB + 1, MIB, 512, "whole number of sectors"),
        (MIB, 3 * MIB, 512, "block size"),
        (MIB, MIB, 1024, "logical sector size"),
        ((64 << 40) + 512, MIB, 512, "64 TiB"),
    ],
)
def test_a_disk_that_the_format_does_not_allow_is_refused(
    size: int, block_size: int, sector: int, problem: str, randomness: Randomness
) -> None:
    file = MemoryFile()

    with pytest.raises(VhdxError, match=f"{problem}.*Create the disk with sizes"):
        create_image(
            file,
            size=size,
            block_size=block_size,
            logical_sector_size=sector,
            randomness=randomness,
        )
    assert file.size() == 0


def test_a_fixed_disk_is_in_one_piece_from_first_byte_to_last(randomness: Randomness) -> None:
    file = MemoryFile()
    with create_fixed(file, size=5 * MIB + 512, block_size=MIB, randomness=randomness) as image:
        image.write(b"x" * 512, 5 * MIB)
    found = open_image(MemoryFile(file.durable))

    assert found.kind is ImageKind.FIXED
    assert list(found.extents()) == [Extent(0, 5 * MIB + 512, ExtentKind.DATA)]
    assert file.durable[4 * MIB + 5 * MIB :][:512] == b"x" * 512
    assert len(file.durable) == 10 * MIB


def test_a_fixed_disk_with_many_chunks_has_every_block(
    randomness: Randomness, tmp_path: Path
) -> None:
    file = SystemFiles().create(tmp_path / "fixed.vhdx")
    size = 40 * 256 * MIB
    create_fixed(file, size=size, block_size=256 * MIB, randomness=randomness).close()

    with open_path(SystemFiles(), tmp_path / "fixed.vhdx") as image:
        assert list(image.extents()) == [Extent(0, size, ExtentKind.DATA)]
    status = SystemFiles().status(tmp_path / "fixed.vhdx")
    assert status is not None
    assert status.allocated < 8 * MIB


def test_a_child_names_its_parent_so_that_others_find_it(
    randomness: Randomness, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    base = tmp_path / "base.vhdx"
    with create_image(SystemFiles().create(base), size=8 * MIB, randomness=randomness) as image:
        image.write(b"base" * 128, MIB)
        image.write(b"last" * 128, 8 * MIB - 512)
    for path in (tmp_path / "child.vhdx", tmp_path / "sub" / "child.vhdx"):
        parent = open_path(SystemFiles(), base)
        file = SystemFiles().create(path)
        with create_child(file, parent, parent_path=base, randomness=randomness) as child:
            child.write(b"mine" * 128, MIB + 512)

        second = vhdx_reader.open_path(path)
        assert second.read(MIB, 2048) == b"base" * 128 + b"mine" * 128 + bytes(1024)
        assert second.read(8 * MIB - 512, 512) == b"last" * 128
        with open_path(SystemFiles(), path) as found:
            assert found.kind is ImageKind.DIFFERENCING
            assert found.read(2048, MIB) == b"base" * 128 + b"mine" * 128 + bytes(1024)


def test_a_parent_that_is_written_makes_its_child_unreadable(
    randomness: Randomness, tmp_path: Path
) -> None:
    base = tmp_path / "base.vhdx"
    create_image(SystemFiles().create(base), size=8 * MIB, randomness=randomness).close()
    parent = open_path(SystemFiles(), base)
    file = SystemFiles().create(tmp_path / "child.vhdx")
    create_child(file, parent, parent_path=base, randomness=randomness).close()
    with open_image(SystemFiles().open_write(base), writable=True, randomness=randomness) as image:
        image.write(b"x" * 512, 0)

    with pytest.raises(VhdxError, match="was changed since"):
        open_path(SystemFiles(), tmp_path / "child.vhdx")
