"""Disks that are written beside a replica: where they may stand, that they fit, and that none stays half done."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np

from agent.replica.errors import ReplicaError, disk_full, storage_errors
from agent.replica.fence import FencedFiles
from agent.replica.frames import Window
from agent.replica.images import DiskImage, ImageSet
from agent.replica.sidecar import GRANULE_BYTES
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry
from replikera.ports.files import Files

COPY_BYTES = 4 << 20
"""Bytes that are copied at once."""

Recovered: TypeAlias = tuple[tuple[DiskGeometry, Path], ...]


class PointReader(Protocol):
    """The disks of a point, for reading."""

    def read_into(self, disk: int, buffer: memoryview, offset: int) -> None:
        """Fill `buffer` with what the disk holds from `offset` on. Raises `ReplicaError`."""


@contextmanager
def new_disks(files: Files, paths: Sequence[Path]) -> Iterator[FencedFiles]:
    """Give files to make the disks with. What was made is durable at the end, and gone where it ends otherwise.

    Raises `ReplicaError`.
    """
    # A fence of its own: a bad volume of recovered disks says nothing about the replica's.
    output = FencedFiles(files)
    _check_paths(output, paths)
    try:
        with storage_errors(paths[0].parent):
            yield output
            for folder in sorted({path.parent for path in paths}):
                output.sync_directory(folder)
    except BaseException:
        _remove(output, paths)
        raise


def check_space(
    files: Files,
    images: ImageSet,
    disks: Sequence[DiskGeometry],
    contents: Sequence[Extents],
    folder: Path,
) -> None:
    """Raise `ReplicaError` where the volume has no room for the contents of new images."""
    needed = 0
    for disk, content in enumerate(contents):
        unit = images.hole_unit(disk, files) or images.block_size(disk)
        needed += content.align(unit, disks[disk].size).total()
    if files.free_space(folder) < needed:
        raise disk_full(folder)


def copy_content(
    point: PointReader, disk: int, content: Extents, target: DiskImage, *, is_over_parent: bool
) -> Iterator[None]:
    """Write ranges of a disk to an image, a window at a time; zeros only where a parent would show something else."""
    window, copied = Window(), 0
    for offset, length in content.split(COPY_BYTES):
        data = window.view(length)
        point.read_into(disk, data, offset)
        if np.frombuffer(data, dtype=np.int64).any():
            target.write(data, offset)
        elif is_over_parent:
            target.zero(offset, length)
        # A step is handed to a thread and back: a million small extents are not to be a million steps.
        copied += max(length, GRANULE_BYTES)
        if copied >= COPY_BYTES:
            yield
            copied = 0
    yield


def _check_paths(files: Files, paths: Sequence[Path]) -> None:
    for path in paths:
        if files.status(path) is not None or paths.count(path) > 1:
            raise ReplicaError(
                "path-taken",
                f"A disk is to be written to {path}, and there is one already.",
                "Remove or move it, then recover the point again.",
            )


def _remove(files: Files, paths: Sequence[Path]) -> None:
    for path in paths:
        if files.status(path) is not None:
            files.remove(path)
