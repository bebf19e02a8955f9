"""A child that is written says afterwards where its parent is; one that is only read stays as it was."""

import struct
import uuid
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from replikera.system.files import SystemFiles
from replikera.vhdx import Parents, VhdxError, create_child, create_image, open_image, open_path
from replikera.vhdx.locator import locator_values
from replikera.vhdx.metadata import MetadataItem, locator_item, moved_locator
from replikera.vhdx.regions import Region, read_region_table
from replikera.vhdx.relinking import absolute_path, relative_path, renewed_paths
from tests.support import vhdx_reader
from tests.unit.replikera.vhdx.conftest import SeededRandomness
from tests.unit.replikera.vhdx.foreign_chain import SECTOR, Volume, child, child_items, linkage
from tests.unit.replikera.vhdx.foreign_file import MIB, PARENT_LOCATOR
from tests.unit.replikera.vhdx.memory_file import MemoryFile
from tests.unit.replikera.vhdx.test_parents import parent_file

FILES = SystemFiles()
CHILD, PARENT = Path("/volume/vm/child.vhdx"), Path("/volume/disks/parent.vhdx")


def told(file: MemoryFile) -> dict[str, str]:
    item = locator_item(file, read_region_table(file).metadata)
    assert item is not None
    return locator_values(item.content)


def stale_child(paths: dict[str, str]) -> MemoryFile:
    """Return a child of which `paths` say where its parent is."""
    values = {"parent_linkage": linkage(), "parent_linkage2": linkage(uuid.UUID(int=7)), **paths}
    return MemoryFile(child({}, content=child_items(values=values)), "child.vhdx")


def parents() -> Parents:
    volume = Volume({"parent.vhdx": bytes(parent_file())})
    return Parents(volume.open_read, volume.exists)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"relative_path": r"..\disks\parent.vhdx"}, {}),
        ({"relative_path": r".\parent.vhdx"}, {"relative_path": r"..\disks\parent.vhdx"}),
        ({"relative_path": r"C:\parent.vhdx"}, {"relative_path": r"..\disks\parent.vhdx"}),
        ({"absolute_win32_path": "/old/parent.vhdx"}, {"absolute_win32_path": str(PARENT)}),
        ({"absolute_win32_path": "/volume/disks/../disks/parent.vhdx"}, {}),
        ({"absolute_win32_path": r"\\?\D:\old\parent.vhdx"}, {}),
        ({"volume_path": r"\\?\Volume{26a21bda}\parent.vhdx", "note": "kept"}, {}),
    ],
)
def test_only_paths_that_are_known_to_be_stale_change(
    values: dict[str, str], expected: dict[str, str]
) -> None:
    assert renewed_paths(values, CHILD, PARENT) == {**values, **expected}


def test_a_way_begins_with_a_dot() -> None:
    assert relative_path(CHILD, Path("/volume/vm/parent.vhdx")) == r".\parent.vhdx"
    assert relative_path(CHILD, PARENT) == r"..\disks\parent.vhdx"


def test_the_first_write_tells_where_the_parent_was_found() -> None:
    stale = {
        "relative_path": r"..\gone\parent.vhdx",
        "absolute_win32_path": "/volume/parent.vhdx",
        "note": "of another writer",
    }
    file = stale_child(stale)
    before = told(file)
    image = open_image(file, writable=True, randomness=SeededRandomness(1), parents=parents())
    assert told(file) == before

    image.write(b"c" * SECTOR, SECTOR)
    image.close()

    after = MemoryFile(file.durable, "child.vhdx")
    assert told(after) == {**before, "relative_path": r".\parent.vhdx"}
    again = open_image(after, parents=parents())
    assert again.read(3 * SECTOR, 0) == b"\1" * SECTOR + b"c" * SECTOR + b"\1" * SECTOR


def test_a_name_that_the_format_cannot_hold_leaves_what_was_told() -> None:
    values = {"relative_path": r".\gone.vhdx"}
    odd = Path("/volume/caf\udce9/parent.vhdx")
    assert renewed_paths(values, CHILD, odd) == values


def test_a_child_whose_parent_cannot_be_told_is_refused() -> None:
    parent = open_image(MemoryFile(parent_file(), "parent.vhdx"))
    with pytest.raises(VhdxError, match="names that the format cannot hold"):
        create_child(
            MemoryFile(name="child.vhdx"),
            parent,
            parent_path=Path("/volume/caf\udce9/parent.vhdx"),
            randomness=SeededRandomness(1),
        )


def test_paths_of_windows_have_the_prefix_that_the_format_demands() -> None:
    assert absolute_path(PureWindowsPath(r"C:\disks\a.vhdx")) == r"\\?\C:\disks\a.vhdx"
    assert absolute_path(PureWindowsPath(r"\\?\C:\a.vhdx")) == r"\\?\C:\a.vhdx"
    assert absolute_path(PurePosixPath("/a/../b.vhdx")) == "/b.vhdx"


def test_true_paths_are_not_written_again() -> None:
    file = stale_child({"relative_path": r".\parent.vhdx"})
    metadata = read_region_table(file).metadata
    before = file.read(metadata.length, metadata.offset)
    image = open_image(file, writable=True, randomness=SeededRandomness(1), parents=parents())
    image.write(b"c" * SECTOR, 0)
    image.close()

    assert file.durable[metadata.offset : metadata.end] == before


def test_a_moved_chain_of_files_finds_itself_and_says_so(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "a" / "longer" / "way"
    old.mkdir()
    with create_image(
        FILES.create(old / "parent.vhdx"), size=4 * MIB, randomness=SeededRandomness(1)
    ) as parent:
        parent.write(b"p" * SECTOR, 0)
    with create_child(
        FILES.create(old / "child.vhdx"),
        open_path(FILES, old / "parent.vhdx"),
        parent_path=old / "parent.vhdx",
        randomness=SeededRandomness(2),
    ) as image:
        image.write(b"c" * SECTOR, SECTOR)
    new.mkdir(parents=True)
    for name in ("parent.vhdx", "child.vhdx"):
        (old / name).rename(new / name)

    with open_path(
        FILES, new / "child.vhdx", writable=True, randomness=SeededRandomness(3)
    ) as image:
        assert image.read(SECTOR, 0) == b"p" * SECTOR
        image.write(b"d" * SECTOR, 2 * SECTOR)

    file = MemoryFile((new / "child.vhdx").read_bytes())
    assert told(file)["relative_path"] == r".\parent.vhdx"
    assert vhdx_reader.open_path(new / "child.vhdx").read(0, 3 * SECTOR) == (
        b"p" * SECTOR + b"c" * SECTOR + b"d" * SECTOR
    )


def test_longer_paths_go_behind_all_items_and_shorter_ones_stay() -> None:
    region = Region("the metadata", 2 * MIB, MIB)
    others = ((65_536, 8), (70_000, 100), (80_000, 5))
    item = MetadataItem(0, 2 * MIB + 70_000, 6, b"x" * 100, others)
    shorter, longer = moved_locator(item, region, 50), moved_locator(item, region, 101)

    assert shorter is not None
    assert longer is not None
    assert shorter[0] == item.offset
    assert longer[0] == 2 * MIB + 80_008
    assert shorter[1] == struct.pack("<16sIIII", PARENT_LOCATOR.bytes_le, 70_000, 50, 6, 0)
    assert longer[1] == struct.pack("<16sIIII", PARENT_LOCATOR.bytes_le, 80_008, 101, 6, 0)
    assert moved_locator(item, region, 65 << 10) is None
    assert moved_locator(item, Region("the metadata", 2 * MIB, 80_100), 101) is None
