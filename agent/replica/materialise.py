"""Writes a point as standalone disks: everything that a view of it shows, and nothing else."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from agent.replica.errors import ReplicaError, disk_full, storage_errors
from agent.replica.fence import FencedFiles
from agent.replica.frames import Window
from agent.replica.images import DiskImage, ImageFormat, ImageSet, create_images
from agent.replica.point_view import PointView
from agent.replica.sidecar import GRANULE_BYTES
from agent.replica.views import LastingView
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry
from replikera.ports.files import Files

COPY_BYTES = 4 << 20
"""Bytes that are copied at once."""

Recovered: TypeAlias = tuple[tuple[DiskGeometry, Path], ...]


def materialise(
    view: PointView | LastingView,
    files: Files,
    image_format: ImageFormat,
    choose_path: Callable[[DiskGeometry], Path],
) -> Iterator[Recovered | None]:
    """Write the disks of a point to new files, durably, a window at a time.

    Yields None between the steps and the files at last. What was begun is removed when it ends otherwise.
    """
    paths = [choose_path(disk) for disk in view.disks]
    # A fence of its own: a bad volume of recovered disks says nothing about the replica's.
    output = FencedFiles(files)
    _check_paths(output, paths)
    try:
        with storage_errors(paths[0].parent):
            yield from _write(view, output, image_format, paths)
            for folder in sorted({path.parent for path in paths}):
                output.sync_directory(folder)
    except BaseException:
        _remove(output, paths)
        raise
    yield tuple(zip(view.disks, paths, strict=True))


def _write(
    view: PointView | LastingView,
    output: FencedFiles,
    image_format: ImageFormat,
    paths: Sequence[Path],
) -> Iterator[None]:
    with create_images(output, paths, view.disks, image_format) as copies:
        contents = [view.stored_extents(disk) for disk in range(len(view.disks))]
        _check_space(output, view, copies, contents, paths[0].parent)
        yield
        for disk, content in enumerate(contents):
            yield from _copy(view, disk, content, copies[disk])


def _copy(
    view: PointView | LastingView, disk: int, content: Extents, target: DiskImage
) -> Iterator[None]:
    window, copied = Window(), 0
    for offset, length in content.split(COPY_BYTES):
        data = window.view(length)
        view.read_into(disk, data, offset)
        if np.frombuffer(data, dtype=np.int64).any():
            target.write(data, offset)
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


def _check_space(
    files: Files,
    view: PointView | LastingView,
    copies: ImageSet,
    contents: Sequence[Extents],
    folder: Path,
) -> None:
    needed = 0
    for disk, content in enumerate(contents):
        unit = copies.hole_unit(disk, files) or copies.block_size(disk)
        needed += content.align(unit, view.disks[disk].size).total()
    if files.free_space(folder) < needed:
        raise disk_full(folder)


def _remove(files: Files, paths: Sequence[Path]) -> None:
    for path in paths:
        if files.status(path) is not None:
            files.remove(path)
