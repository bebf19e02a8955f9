import struct

import pytest

from replikera.blocks.extents import Extents
from replikera.ports.randomness import Randomness
from replikera.vhdx import ImageKind, VhdxError, create_image, open_image
from replikera.vhdx.headers import decode_header
from tests.unit.replikera.vhdx import foreign_file
from tests.unit.replikera.vhdx.foreign_file import MIB
from tests.unit.replikera.vhdx.memory_file import MemoryFile


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
