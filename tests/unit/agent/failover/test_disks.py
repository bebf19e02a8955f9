from pathlib import Path

import pytest

from agent.failover.disks import SPARE_BYTES, DiskFolders, DiskNames
from agent.failover.outcome import RehearsalError
from replikera.blocks.segment import DiskGeometry
from tests.unit.agent.fakes import FusedFiles, InlineWorker


def disk(disk_id: str, name: str) -> DiskGeometry:
    return DiskGeometry(disk_id, name, 512, 512)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("system.vhdx", "system.vhdx"),
        ("data disk.vhd", "data disk.vhdx"),
        ("no-ending", "no-ending.vhdx"),
        ("../../etc/passwd", "passwd.vhdx"),
        ("C:\\vm\\x.vhdx", "x.vhdx"),
        ("..", "disk.vhdx"),
        ("\u00fcber\n.vhdx", "_ber_.vhdx"),
        ("a" * 300, "a" * 100 + ".vhdx"),
    ],
)
def test_disk_keeps_its_name_inside_the_folder(name: str, expected: str) -> None:
    assert DiskNames(Path("/r")).path(disk("d", name)) == Path("/r") / expected


def test_disks_of_one_name_have_files_of_their_own() -> None:
    names = DiskNames(Path("/r"))
    disks = [disk("1", "d.vhdx"), disk("2", "d.vhd"), disk("3", "D.vhdx"), disk("1", "d.vhdx")]
    assert [names.path(each).name for each in disks] == [
        "d.vhdx", "d-2.vhdx", "D-3.vhdx", "d.vhdx"
    ]  # fmt: skip


@pytest.mark.parametrize(("free", "fits"), [(SPARE_BYTES, True), (SPARE_BYTES - 1, False)])
async def test_folder_is_prepared_only_on_a_volume_with_room(
    tmp_path: Path, free: int, fits: bool
) -> None:
    files = FusedFiles()
    files.free = free
    folders = DiskFolders(files, InlineWorker(), tmp_path)
    if fits:
        assert await folders.prepare("r") == tmp_path / "rehearsals" / "r"
    else:
        with pytest.raises(RehearsalError, match=f"{free} bytes are free") as caught:
            await folders.prepare("r")
        assert caught.value.code == "disk-full"


async def test_listing_shows_files_and_folder_until_they_are_gone(tmp_path: Path) -> None:
    folders = DiskFolders(FusedFiles(), InlineWorker(), tmp_path)
    assert await folders.listing("r") == ()
    folder = await folders.prepare("r")
    (folder / "x.vhdx").write_text("x")
    assert await folders.listing("r") == (folder / "x.vhdx", folder)
    await folders.remove("r")
    await folders.remove("r")
    assert await folders.listing("r") == ()
