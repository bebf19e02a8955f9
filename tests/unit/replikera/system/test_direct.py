"""Large writes past the page cache: the same bytes as by any other way, and never more than was allowed."""

import errno
import os
import random
import sys
from pathlib import Path

import pytest

from replikera.system import direct
from replikera.system.direct import PIECE, SMALLEST
from replikera.system.files import SystemFiles

FILES = SystemFiles()
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="direct writes are Linux' own")


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pretend that every volume can, and note through which descriptors is written."""
    used: list[int] = []
    write = os.pwrite

    def noted(descriptor: int, data: memoryview, offset: int) -> int:
        used.append(descriptor)
        return write(descriptor, data, offset)

    monkeypatch.setattr(direct, "_is_in_memory", lambda _: False)
    monkeypatch.setattr(os, "pwrite", noted)
    return used


def test_any_mixture_of_writes_leaves_the_same_bytes(tmp_path: Path) -> None:
    chance = random.Random(1)
    flat = bytearray(8 << 20)
    with FILES.create(tmp_path / "disk") as file:
        file.truncate(len(flat))
        for _ in range(60):
            length = chance.choice([1, 512, 4096, SMALLEST, SMALLEST + 512, PIECE, 3 * PIECE])
            offset = chance.randrange(len(flat) - length)
            offset -= offset % chance.choice([1, 512, 4096])
            data = chance.randbytes(length)
            file.write(memoryview(data), offset)
            flat[offset : offset + length] = data
            assert file.read(length, offset) == data
        file.sync()
        assert file.read(len(flat), 0) == flat
    assert (tmp_path / "disk").read_bytes() == flat


def test_only_large_and_aligned_writes_go_past_the_page_cache(
    tmp_path: Path, descriptors: list[int]
) -> None:
    with FILES.create(tmp_path / "disk") as file:
        file.write(bytes(4096), 0)
        file.write(bytes(SMALLEST), 512)
        file.write(bytes(SMALLEST + 512), 0)
        ordinary = set(descriptors)
        file.write(b"x" * (PIECE + SMALLEST), 4096)
        assert len(ordinary) == 1
        if len(set(descriptors)) == 1:
            pytest.skip("this volume has no direct writes")
        assert len(descriptors) == 5
        assert file.read(PIECE + SMALLEST, 4096) == b"x" * (PIECE + SMALLEST)


def test_a_volume_that_refuses_gets_ordinary_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FILES.create(tmp_path / "disk") as file:
        writer = file._direct  # type: ignore[attr-defined]  # the adapter's own part
        monkeypatch.setattr(writer, "_open", lambda: True)
        writer._direct = os.open(tmp_path / "disk", os.O_RDONLY)  # every write to it fails
        with pytest.raises(OSError, match="Bad file descriptor"):
            file.write(bytes(PIECE), 0)

        write = os.pwrite

        def only_small(descriptor: int, data: memoryview, offset: int) -> int:
            if descriptor == writer._direct:
                raise OSError(errno.EINVAL, "Invalid argument")
            return write(descriptor, data, offset)

        monkeypatch.setattr(os, "pwrite", only_small)
        file.write(b"y" * PIECE, 0)
        assert file.read(PIECE, 0) == b"y" * PIECE


def test_a_file_opened_for_reading_stays_unwritten(tmp_path: Path, descriptors: list[int]) -> None:
    (tmp_path / "disk").write_bytes(b"a" * PIECE)
    with FILES.open_read(tmp_path / "disk") as file, pytest.raises(OSError, match="descriptor"):
        file.write(b"b" * PIECE, 0)
    assert (tmp_path / "disk").read_bytes() == b"a" * PIECE


def test_a_file_that_was_renamed_is_still_the_one_that_is_written(tmp_path: Path) -> None:
    with FILES.create(tmp_path / "first") as file:
        (tmp_path / "first").rename(tmp_path / "second")
        (tmp_path / "first").write_bytes(b"other")
        file.write(b"x" * PIECE, 0)
    assert (tmp_path / "first").read_bytes() == b"other"
    assert (tmp_path / "second").read_bytes() == b"x" * PIECE
