"""Writes a point as standalone disks: a copy of the base, painted with what lies between base and point."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from agent.replica.apply import paint
from agent.replica.errors import ReplicaError, disk_full, storage_errors
from agent.replica.fence import FencedFiles
from agent.replica.frames import Window
from agent.replica.history import History
from agent.replica.images import DiskImage, ImageSet, create_images
from agent.replica.journal import open_redo
from agent.replica.points import PointRecord
from agent.replica.storage import Storage
from agent.replica.undo import open_undo
from replikera.blocks.segment import DiskGeometry
from replikera.ports.files import Files

COPY_BYTES = 4 << 20
"""Bytes of the base that are copied at once."""

Recovered: TypeAlias = tuple[tuple[DiskGeometry, Path], ...]


def materialise(
    storage: Storage,
    files: Files,
    history: History,
    record: PointRecord,
    choose_path: Callable[[DiskGeometry], Path],
) -> Iterator[Recovered | None]:
    """Write the disks of a point to new files, durably, a window at a time.

    Yields None between the steps and the files at last. What was begun is removed when it ends otherwise. Nothing may
    apply or release meanwhile.
    """
    paths = [choose_path(disk) for disk in record.disks]
    # A fence of its own: a bad volume of recovered disks says nothing about the replica's.
    output = FencedFiles(files)
    _check_paths(output, paths)
    try:
        with storage_errors(paths[0].parent):
            yield from _write(storage, output, history, record, paths)
            for folder in sorted({path.parent for path in paths}):
                output.sync_directory(folder)
    except BaseException:
        _remove(output, paths)
        raise
    yield tuple(zip(record.disks, paths, strict=True))


def _write(
    storage: Storage,
    output: FencedFiles,
    history: History,
    record: PointRecord,
    paths: Sequence[Path],
) -> Iterator[None]:
    attempt = history.position.initial_attempt
    with (
        storage.open_base(attempt, record.disks) as base,
        create_images(output, paths, record.disks, storage.image_format) as copies,
    ):
        _check_space(output, base, record.disks, paths)
        for disk, geometry in enumerate(record.disks):
            yield from _copy(base[disk], copies[disk], geometry.size)
        yield from _paint_to(storage, copies, history, record.sequence)


def _paint_to(
    storage: Storage, copies: ImageSet, history: History, sequence: int
) -> Iterator[None]:
    base = history.position.sequence
    if sequence > base:
        # Over a base that is half of base + 1, too: its redo covers every byte in doubt.
        for number in range(base + 1, sequence + 1):
            with open_redo(storage.files, storage.layout.redo_file(number)) as redo:
                yield from paint(copies, redo)
        return
    for number in range(highest_undo(history), sequence, -1):
        with open_undo(storage.files, storage.layout.undo_file(number)) as undo:
            yield from paint(copies, undo)


def highest_undo(history: History) -> int:
    """Return the undo to begin with: that of the interrupted apply where there is one."""
    return history.position.sequence + (1 if history.is_interrupted else 0)


def _copy(source: DiskImage, target: DiskImage, size: int) -> Iterator[None]:
    window = Window()
    for offset, length in source.data_extents().clip(size).split(COPY_BYTES):
        data = window.view(length)
        source.read_into(data, offset)
        if np.frombuffer(data, dtype=np.int64).any():
            target.write(data, offset)
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
    files: Files, base: ImageSet, disks: Sequence[DiskGeometry], paths: Sequence[Path]
) -> None:
    needed = sum(base[disk].data_extents().total() for disk in range(len(disks)))
    folder = paths[0].parent
    if files.free_space(folder) < needed:
        raise disk_full(folder)


def _remove(files: Files, paths: Sequence[Path]) -> None:
    for path in paths:
        if files.status(path) is not None:
            files.remove(path)
