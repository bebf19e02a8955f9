from pathlib import Path

import pytest

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.new_disks import NewDisks
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.vhdx import ImageKind, create_child, open_image
from tests.support.simulated_host import MIB, make_disk


@pytest.fixture
def new_disks() -> NewDisks:
    return NewDisks(SystemFiles(), SystemRandomness())


def test_copies_have_names_of_their_own(new_disks: NewDisks, tmp_path: Path) -> None:
    source = make_disk(tmp_path / "a.vhdx", {0: b"x" * 512})
    # Left by a copy that was cut off: the next one replaces it.
    (tmp_path / "disks").mkdir()
    (tmp_path / "disks" / "a.vhdx.new").write_bytes(b"half")
    copies = [new_disks.copy(source, tmp_path / "disks") for _ in range(3)]
    assert [copy.name for copy in copies] == ["a.vhdx", "1-a.vhdx", "2-a.vhdx"]
    assert {copy.read_bytes() for copy in copies} == {source.read_bytes()}


def test_a_disk_is_described_as_its_file_is(new_disks: NewDisks, tmp_path: Path) -> None:
    first, second = (
        new_disks.describe(make_disk(tmp_path / f"{name}.vhdx", size=9 * MIB), place, "fast")
        for place, name in enumerate("ab")
    )
    assert (first.name, first.size, first.location) == ("a.vhdx", 9 * MIB, 0)
    assert (second.logical_sector_size, second.storage_class) == (512, "fast")
    assert first.disk_id != second.disk_id


def make_child(folder: Path) -> Path:
    """Return a disk with one sector of its own over a parent with another."""
    files, randomness = SystemFiles(), SystemRandomness()
    parent = make_disk(folder / "parent.vhdx", {0: b"p" * 512, 512: b"q" * 512})
    with open_image(files.open_read(parent)) as above:
        child = files.create(folder / "child.vhdx")
        image = create_child(child, above, parent_path=parent, randomness=randomness)
        image.write(b"c" * 512, 512)
        image.close()
    return folder / "child.vhdx"


def test_a_differencing_disk_comes_with_what_its_parents_hold(
    new_disks: NewDisks, tmp_path: Path
) -> None:
    child = make_child(tmp_path)
    before = child.read_bytes(), (tmp_path / "parent.vhdx").read_bytes()
    new_disks.check(child)
    copy = new_disks.copy(child, tmp_path / "disks")
    (tmp_path / "parent.vhdx").rename(tmp_path / "elsewhere.vhdx")
    with open_image(SystemFiles().open_read(copy)) as image:
        assert image.kind is ImageKind.DYNAMIC
        buffer = bytearray(1536)
        image.read_into(memoryview(buffer), 0)
    assert buffer == b"p" * 512 + b"c" * 512 + bytes(512)
    assert (child.read_bytes(), (tmp_path / "elsewhere.vhdx").read_bytes()) == before


def test_what_cannot_be_protected_is_refused(new_disks: NewDisks, tmp_path: Path) -> None:
    child = make_child(tmp_path)
    (tmp_path / "parent.vhdx").unlink()
    with pytest.raises(HypervisorError, match="parent") as caught:
        new_disks.check(child)
    assert caught.value.code == "bad-disk"
    with pytest.raises(HypervisorError, match="missing.vhdx"):
        new_disks.check(tmp_path / "missing.vhdx")


def test_a_file_that_cannot_be_copied_is_named(new_disks: NewDisks, tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match="missing.vhdx") as caught:
        new_disks.copy(tmp_path / "missing.vhdx", tmp_path / "disks")
    assert caught.value.code == "bad-disk"
