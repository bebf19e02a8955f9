import hashlib
from pathlib import Path

import pytest
from typing_extensions import override

from replikera.cli.disk_content import digest_of, export_raw
from replikera.cli.disk_errors import DiskError, TargetExistsError
from replikera.ports.files import File
from replikera.system.files import SystemFile, SystemFiles
from replikera.vhdx import Image, create_image
from tests.unit.replikera.vhdx.conftest import SeededRandomness

MIB = 1 << 20
SIZE = 20 * MIB + 512
RANDOMNESS = SeededRandomness(1)


class Volume(SystemFiles):
    """A volume with little room, or one that breaks at the sync."""

    room: int | None = None
    is_broken = False

    @override
    def free_space(self, path: Path) -> int:
        return super().free_space(path) if self.room is None else self.room

    @override
    def create(self, path: Path, *, mode: int = 0o600) -> File:
        file = super().create(path, mode=mode)
        assert isinstance(file, SystemFile)
        if self.is_broken:
            setattr(file, "sync", self._fail)  # noqa: B010 - only for this file
        return file

    def _fail(self) -> None:
        raise OSError(5, "Input/output error")


@pytest.fixture
def volume() -> Volume:
    return Volume()


@pytest.fixture
def image(tmp_path: Path, volume: Volume) -> Image:
    made = create_image(volume.create(tmp_path / "a.vhdx"), size=SIZE, randomness=RANDOMNESS)
    made.write(b"first" + bytes(507), 0)
    made.write(b"\xff" * (3 * MIB), 5 * MIB + 512)
    made.write(b"x" * 512, SIZE - 512)
    made.flush()
    return made


def content() -> bytes:
    data = bytearray(SIZE)
    data[:5] = b"first"
    data[5 * MIB + 512 : 8 * MIB + 512] = b"\xff" * (3 * MIB)
    data[SIZE - 512 :] = b"x" * 512
    return bytes(data)


def export(volume: Volume, image: Image, target: Path, *, force: bool = False) -> int:
    return export_raw(volume, image, target, randomness=RANDOMNESS, is_replacing=force)


def test_progress_adds_up_to_the_whole_disk(tmp_path: Path) -> None:
    file = Volume().create(tmp_path / "disk.vhdx")
    with create_image(file, size=8 << 20, randomness=RANDOMNESS) as image:
        image.write(b"x" * 4096, 5 << 20)
        digested: list[int] = []
        digest_of(image, digested.append)
        exported: list[int] = []
        export_raw(
            Volume(),
            image,
            tmp_path / "disk.raw",
            randomness=RANDOMNESS,
            is_replacing=False,
            advance=exported.append,
        )
        assert sum(digested) == image.size
        assert sum(exported) == image.stored_extents().total()


def test_the_digest_is_that_of_the_flat_disk(image: Image) -> None:
    assert digest_of(image) == hashlib.sha256(content()).hexdigest()


def test_an_export_is_the_flat_disk_with_holes(
    tmp_path: Path, volume: Volume, image: Image
) -> None:
    target = tmp_path / "a.raw"
    written = export(volume, image, target)

    assert target.read_bytes() == content()
    assert target.stat().st_blocks * 512 <= written + 64 * 1024
    assert written < 4 * MIB
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.raw", "a.vhdx"]


def test_an_existing_target_is_replaced_only_when_asked(
    tmp_path: Path, volume: Volume, image: Image
) -> None:
    target = tmp_path / "a.raw"
    target.write_bytes(b"precious")
    with pytest.raises(TargetExistsError):
        export(volume, image, target)
    assert target.read_bytes() == b"precious"

    export(volume, image, target, force=True)
    assert target.read_bytes() == content()


def test_a_folder_is_never_replaced(tmp_path: Path, volume: Volume, image: Image) -> None:
    with pytest.raises(DiskError, match="is a folder"):
        export(volume, image, tmp_path, force=True)


def test_a_missing_folder_is_named(tmp_path: Path, volume: Volume, image: Image) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        export(volume, image, tmp_path / "nowhere" / "a.raw")


def test_too_little_room_is_found_before_anything_is_written(
    tmp_path: Path, volume: Volume, image: Image
) -> None:
    volume.room = 10 * MIB
    with pytest.raises(DiskError, match=f"has room for {10 * MIB}"):
        export(volume, image, tmp_path / "a.raw")
    assert [path.name for path in tmp_path.iterdir()] == ["a.vhdx"]


def test_an_export_that_did_not_become_durable_leaves_nothing(
    tmp_path: Path, volume: Volume, image: Image
) -> None:
    (tmp_path / "a.raw").write_bytes(b"precious")
    volume.is_broken = True
    with pytest.raises(OSError, match="Input/output"):
        export(volume, image, tmp_path / "a.raw", force=True)
    assert (tmp_path / "a.raw").read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.raw", "a.vhdx"]
