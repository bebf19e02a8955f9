"""A new disk is whole and durable, or not there."""

from pathlib import Path

import pytest

from replikera.cli.disk_creation import NewDisk, create_disk
from replikera.cli.errors import InvalidRequestError
from replikera.system.files import SystemFiles
from replikera.vhdx import ImageKind, VhdxError, open_path

FILES = SystemFiles()
MIB = 1 << 20
PLAIN = NewDisk(size=8 * MIB, block_size=None, sector=None, parent=None, is_fixed=False)


def child_of(path: Path) -> NewDisk:
    return NewDisk(size=None, block_size=None, sector=None, parent=path, is_fixed=False)


def test_what_was_not_said_is_usual(tmp_path: Path) -> None:
    assert create_disk(FILES, tmp_path / "disk.vhdx", PLAIN) == 8 * MIB
    with open_path(FILES, tmp_path / "disk.vhdx") as image:
        assert (image.kind, image.block_size, image.logical_sector_size) == (
            ImageKind.DYNAMIC,
            2 * MIB,
            512,
        )


def test_a_chain_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_disk(FILES, tmp_path / "0.vhdx", PLAIN)
    (tmp_path / "children").mkdir()
    monkeypatch.chdir(tmp_path)
    create_disk(FILES, Path("children/1.vhdx"), child_of(Path("0.vhdx")))
    create_disk(FILES, Path("2.vhdx"), child_of(Path("children/1.vhdx")))

    monkeypatch.chdir(tmp_path.anchor)
    with open_path(FILES, tmp_path / "2.vhdx") as image:
        assert (image.kind, image.size) == (ImageKind.DIFFERENCING, 8 * MIB)


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [
        (NewDisk(None, None, None, None, is_fixed=False), "Give --size"),
        (NewDisk(1 << 20, None, None, Path("0.vhdx"), is_fixed=False), "Leave --size"),
        (NewDisk(None, None, 4096, Path("0.vhdx"), is_fixed=False), "Leave --size"),
        (NewDisk(None, None, None, Path("0.vhdx"), is_fixed=True), "Leave --size"),
        (NewDisk(100, None, None, None, is_fixed=True), "the format allows"),
    ],
)
def test_what_cannot_be_makes_nothing(tmp_path: Path, asked: NewDisk, remedy: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        create_disk(FILES, tmp_path / "disk.vhdx", asked)
    assert remedy in refused.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "parent.vhd").write_bytes(b"conectix")
    with pytest.raises(VhdxError, match=r"parent\.vhd: it is not a VHDX file"):
        create_disk(FILES, tmp_path / "disk.vhdx", child_of(tmp_path / "parent.vhd"))
    assert [path.name for path in tmp_path.iterdir()] == ["parent.vhd"]
