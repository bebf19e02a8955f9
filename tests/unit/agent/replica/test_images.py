"""Images of a base, as VHDX in real files."""

from pathlib import Path

import pytest

from agent.replica import images as images_module
from agent.replica.images import VhdxImages, create_images, image_paths, open_images
from agent.replica.pieces import Piece
from replikera.system.files import SystemFiles
from tests.support.seeded_randomness import SeededRandomness
from tests.support.segments import disks_of

MIB = 1 << 20
DATA = b"d" * 512
VHDX = VhdxImages(SeededRandomness(1))
DISKS = disks_of(3 * MIB, 5 * MIB)


def contents(folder: Path, disk: int) -> bytes:
    paths = image_paths(folder, 2, VHDX)
    with open_images(SystemFiles(), paths, VHDX, is_writable=False) as images:
        content = bytearray(DISKS[disk].size)
        images[disk].read_into(memoryview(content), 0)
    return bytes(content)


def test_pieces_are_painted_on_their_disk(tmp_path: Path) -> None:
    paths = image_paths(tmp_path, 2, VHDX)
    assert [path.name for path in paths] == ["00.vhdx", "01.vhdx"]
    with create_images(SystemFiles(), paths, DISKS, VHDX) as images:
        images.paint(Piece(1, 4 * MIB, 512, memoryview(DATA)))
        images.paint(Piece(1, 4 * MIB + 512, 512, memoryview(DATA)))
        images.paint(Piece(1, 4 * MIB, 512, None))
    expected = bytearray(5 * MIB)
    expected[4 * MIB + 512 : 4 * MIB + 1024] = DATA
    assert contents(tmp_path, 1) == expected
    assert not any(contents(tmp_path, 0))


def test_a_long_range_of_zeros_goes_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images_module, "MAX_ZERO_BYTES", 1024)
    paths = image_paths(tmp_path, 2, VHDX)
    with create_images(SystemFiles(), paths, DISKS, VHDX) as images:
        images[0].write(b"x" * 4096, 0)
        images.paint(Piece(0, 512, 2560, None))
    assert contents(tmp_path, 0)[:4096] == b"x" * 512 + bytes(2560) + b"x" * 1024


def test_an_exception_closes_without_flushing(tmp_path: Path) -> None:
    paths = image_paths(tmp_path, 2, VHDX)
    create_images(SystemFiles(), paths, DISKS, VHDX).close()
    with (
        pytest.raises(KeyError),
        open_images(SystemFiles(), paths, VHDX, is_writable=True) as images,
    ):
        images[0].write(DATA, 0)
        raise KeyError
    # The block is in the file, but the table that names it was never written.
    assert not any(contents(tmp_path, 0))


def test_a_failed_creation_keeps_no_file_open(tmp_path: Path) -> None:
    paths = image_paths(tmp_path, 2, VHDX)
    paths[1].write_bytes(b"taken")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileExistsError):
        create_images(SystemFiles(), paths, DISKS, VHDX)
    with pytest.raises(ValueError, match="VHDX"):
        open_images(SystemFiles(), [paths[1]], VHDX, is_writable=False)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
