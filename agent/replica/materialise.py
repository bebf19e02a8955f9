"""Writes a point as standalone disks: everything that a view of it shows, and nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path

from agent.replica.images import NewImages, create_images
from agent.replica.new_disks import Recovered, check_space, copy_content, new_disks
from agent.replica.point_view import PointView
from agent.replica.views import LastingView
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry
from replikera.ports.files import Files


def materialise(
    view: "PointView | LastingView | OneDisk",
    files: Files,
    image_format: NewImages,
    choose_path: Callable[[DiskGeometry], Path],
) -> Iterator[Recovered | None]:
    """Write the disks of a point to new files, durably, a window at a time.

    Yields None between the steps and the files at last. What was begun is removed when it ends otherwise.
    """
    paths = [choose_path(disk) for disk in view.disks]
    with (
        new_disks(files, paths) as output,
        create_images(output, paths, view.disks, image_format) as copies,
    ):
        contents = [view.stored_extents(disk) for disk in range(len(view.disks))]
        check_space(output, copies, view.disks, contents, paths[0].parent)
        yield None
        for disk, content in enumerate(contents):
            yield from copy_content(view, disk, content, copies[disk], is_over_parent=False)
    yield tuple(zip(view.disks, paths, strict=True))


class OneDisk:
    """A view of a point that shows one of its disks as the only one."""

    def __init__(self, view: LastingView, place: int) -> None:
        self.disks = (view.disks[place],)
        self._view, self._place = view, place

    def read_into(self, disk: int, buffer: memoryview, offset: int) -> None:
        """Fill `buffer` with what the disk holds from `offset` on. Raises `ReplicaError`."""
        self._view.read_into(self._place + disk, buffer, offset)

    def stored_extents(self, disk: int) -> Extents:
        """Return what may hold something other than zeros, without holes. Raises `ReplicaError`."""
        return self._view.stored_extents(self._place + disk)
