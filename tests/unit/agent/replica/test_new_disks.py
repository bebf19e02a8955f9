"""What is written beside a replica is whole and durable, or not there."""

from pathlib import Path

import pytest

from agent.replica.errors import ReplicaError
from agent.replica.images import ImageSet
from agent.replica.new_disks import check_space, copy_content, new_disks
from replikera.blocks.extents import Extents
from tests.support.crash_files import CrashFiles
from tests.support.raw_images import RawImage, RawImages
from tests.support.segments import disks_of

OUT = Path("/out")
DISKS = disks_of(4096)


class Blank:
    """A disk of zeros."""

    def read_into(self, disk: int, buffer: memoryview, offset: int) -> None:
        buffer[:] = bytes(len(buffer))


@pytest.fixture
def files() -> CrashFiles:
    files = CrashFiles()
    files.make_directory(OUT)
    files.sync_directory(Path("/"))
    return files


def image(files: CrashFiles) -> RawImage:
    found = RawImages().create(files.create(OUT / "a"), DISKS[0])
    found.write(b"p" * 4096, 0)
    return found


def test_the_names_are_durable_at_the_end(files: CrashFiles) -> None:
    with new_disks(files, [OUT / "a"]) as output, output.create(OUT / "a") as file:
        file.sync()
    assert not files.pending()


def test_what_ends_otherwise_leaves_nothing(files: CrashFiles) -> None:
    with (
        pytest.raises(ReplicaError) as error,
        new_disks(files, [OUT / "a", OUT / "b"]) as output,
    ):
        output.create(OUT / "a").close()
        raise OSError(5, "injected")
    assert error.value.code == "storage-error"
    assert files.list_directory(OUT) == []


@pytest.mark.parametrize(("is_over_parent", "expected"), [(True, bytes(512)), (False, b"p" * 512)])
def test_zeros_are_written_only_where_a_parent_would_show_something_else(
    files: CrashFiles, *, is_over_parent: bool, expected: bytes
) -> None:
    target = image(files)
    content = Extents.of([(512, 512)])
    for _ in copy_content(Blank(), 0, content, target, is_over_parent=is_over_parent):
        pass
    found = bytearray(1536)
    target.read_into(memoryview(found), 0)
    assert bytes(found) == b"p" * 512 + expected + b"p" * 512


def test_what_cannot_fit_names_the_folder(files: CrashFiles) -> None:
    files.capacity = 4096
    with files.create(OUT / "b") as file:
        images = ImageSet([file], [RawImages().create(file, DISKS[0])])
        check_space(files, images, DISKS, [Extents.of([(0, 1)])], OUT)
        with pytest.raises(ReplicaError, match="/out"):
            check_space(files, images, disks_of(8192), [Extents.whole(8192)], OUT)
