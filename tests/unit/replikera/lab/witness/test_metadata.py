"""What a file says of its disk and of its parent."""

from pathlib import Path

import pytest

from replikera.lab.witness import WitnessError
from replikera.lab.witness.layer import Layer
from replikera.lab.witness.metadata import Metadata, Parent, read_metadata
from replikera.system.files import SystemFiles
from tests.unit.replikera.vhdx import foreign_file
from tests.unit.replikera.vhdx.foreign_chain import child_items, linkage
from tests.unit.replikera.vhdx.foreign_file import MIB, STRANGER, Item, items

FILES = SystemFiles()


def read(folder: Path, content: list[Item]) -> Metadata:
    path = folder / "disk.vhdx"
    path.write_bytes(foreign_file.build(content=content, file_mib=4))
    with FILES.open_read(path) as file:
        return read_metadata(Layer(file))


def test_a_disk_of_its_own_has_no_parent(tmp_path: Path) -> None:
    assert read(tmp_path, items(size=6 * MIB)) == Metadata(6 * MIB, MIB, 512, None)


def test_a_parent_may_have_one_of_two_names(tmp_path: Path) -> None:
    told = {
        "parent_linkage": linkage(),
        "parent_linkage2": linkage(STRANGER),
        "relative_path": "..\\base.vhdx",
    }
    ids = frozenset({foreign_file.DATA_WRITE_ID.bytes_le, STRANGER.bytes_le})
    assert read(tmp_path, child_items(values=told)).parent == Parent("..\\base.vhdx", ids)


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({"parent_linkage": linkage()}, "seen from the file"),
        ({"parent_linkage": "nobody", "relative_path": "a"}, "'nobody'"),
    ],
)
def test_a_parent_that_cannot_be_found_is_refused(
    tmp_path: Path, told: dict[str, str], problem: str
) -> None:
    with pytest.raises(WitnessError, match=problem):
        read(tmp_path, child_items(values=told))


def test_an_item_of_a_user_is_passed_over(tmp_path: Path) -> None:
    assert read(tmp_path, [*items(), (STRANGER, b"mine", 1)]).size == 4 * MIB
