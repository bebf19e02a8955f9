"""Writes a point as children of the base: they hold what lies between the two, whatever the disks' size is.

The base has to stay what it is for as long as they exist: a pin sees to that.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from agent.replica.images import ImageFormat, ImageSet, create_children
from agent.replica.new_disks import Recovered, check_space, copy_content, new_disks
from agent.replica.point_view import Beyond, PointView
from replikera.blocks.segment import DiskGeometry
from replikera.ports.files import Files

ZERO_BYTES = 1 << 30
"""Bytes zeroed in a step."""


def make_children(
    view: PointView,
    files: Files,
    image_format: ImageFormat,
    base: Sequence[Path],
    choose_path: Callable[[DiskGeometry], Path],
) -> Iterator[Recovered | None]:
    """Write the disks of a point to new files over the images of the base, durably, a window at a time.

    Yields None between the steps and the files at last. What was begun is removed when it ends otherwise.
    """
    paths = [choose_path(disk) for disk in view.disks]
    with (
        new_disks(files, paths) as output,
        create_children(output, paths, base, image_format) as children,
    ):
        beyond = [view.beyond_base(disk) for disk in range(len(view.disks))]
        check_space(output, children, view.disks, [each.data for each in beyond], paths[0].parent)
        yield None
        for disk, each in enumerate(beyond):
            yield from _fill(view, disk, each, children)
    yield tuple(zip(view.disks, paths, strict=True))


def _fill(view: PointView, disk: int, beyond: Beyond, children: ImageSet) -> Iterator[None]:
    for offset, length in beyond.zeros.split(ZERO_BYTES):
        children[disk].zero(offset, length)
        yield None
    yield from copy_content(view, disk, beyond.data, children[disk], is_over_parent=True)
