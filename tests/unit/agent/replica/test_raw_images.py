from pathlib import Path

import pytest

from agent.replica.raw_images import RawImages
from replikera.system.files import SystemFiles
from tests.support.segments import disks_of

MIB = 1 << 20


def test_a_raw_file_has_the_length_of_the_disk_and_holes_for_zeros(tmp_path: Path) -> None:
    files, path = SystemFiles(), tmp_path / "web.raw"
    (disk,) = disks_of(4 * MIB)
    with files.create(path) as file:
        image = RawImages().create(file, disk)
        image.write(b"x" * 4096, MIB)
        image.write(b"y" * 4096, 2 * MIB)
        image.zero(2 * MIB, 4096)
        image.close()
    assert path.stat().st_size == 4 * MIB
    with files.open_read(path) as file:
        image = RawImages().open(file, is_writable=False)
        assert image.size == 4 * MIB
        assert next(iter(image.stored_extents())) == (MIB, 4096)
        buffer = bytearray(8192)
        image.read_into(memoryview(buffer), MIB - 4096)
        assert buffer == bytes(4096) + b"x" * 4096
        image.close()


def test_a_file_that_is_cut_off_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "web.raw"
    path.write_bytes(b"short")
    with SystemFiles().open_read(path) as file:
        image = RawImages().open(file, is_writable=False)
        with pytest.raises(EOFError, match="cut off"):
            image.read_into(memoryview(bytearray(4096)), 0)
