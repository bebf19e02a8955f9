"""The content of a disk as a guest sees it: digested, or written as a raw file. Ranges without data are never read."""

import errno
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from replikera.cli.disk_errors import DiskError, TargetExistsError
from replikera.ports.files import File, Files
from replikera.ports.randomness import Randomness
from replikera.vhdx import Image

_DIGEST_PIECE = 1 << 20  # stays in the processor's cache between the read and the digest
_EXPORT_PIECE = 256 << 10
"""Pieces of zeros stay holes: smaller ones would make more holes, and more calls."""

_SPARE_ROOM = 16 << 20  # what the volume needs for its own structures, generously


def _unwatched(_count: int) -> None:
    return


def digest_of(image: Image, advance: Callable[[int], None] = _unwatched) -> str:
    """Return the SHA-256 of the whole disk. `advance` is told the bytes of the disk that were passed, `size` in all."""
    found = hashlib.sha256()
    buffer = memoryview(bytearray(_DIGEST_PIECE))
    end = 0
    for offset, length in image.stored_extents().split(_DIGEST_PIECE):
        _add_zeros(found.update, offset - end, advance)
        image.read_into(buffer[:length], offset)
        found.update(buffer[:length])
        advance(length)
        end = offset + length
    _add_zeros(found.update, image.size - end, advance)
    return found.hexdigest()


def export_raw(
    files: Files,
    image: Image,
    target: Path,
    *,
    randomness: Randomness,
    is_replacing: bool,
    advance: Callable[[int], None] = _unwatched,
) -> int:
    """Write the disk as a sparse raw file, durably; return the bytes of data in it.

    `advance` is told the bytes that were read, those of `Image.stored_extents` in all.
    The file has another name until it is whole, so nobody takes a part for the disk. Raises `DiskError`, `OSError`.
    """
    _refuse_existing(files, target, is_replacing=is_replacing)
    _check_room(files, image, target)
    temporary = target.with_name(f".{target.name}.{randomness.uuid()}.part")
    try:
        with files.create(temporary) as file:
            written = _copy(image, file, advance)
            file.sync()
        _refuse_existing(files, target, is_replacing=is_replacing)
        files.replace(temporary, target)
    except BaseException:
        if files.status(temporary) is not None:
            files.remove(temporary)
        raise
    files.sync_directory(target.parent)
    return written


def _copy(image: Image, file: File, advance: Callable[[int], None]) -> int:
    file.truncate(image.size)
    buffer = memoryview(bytearray(_EXPORT_PIECE))
    written = 0
    for offset, length in image.stored_extents().split(_EXPORT_PIECE):
        view = buffer[:length]
        image.read_into(view, offset)
        if np.frombuffer(view, dtype=np.uint8).any():
            file.write(view, offset)
            written += length
        advance(length)
    return written


def _refuse_existing(files: Files, target: Path, *, is_replacing: bool) -> None:
    status = files.status(target)
    if status is None:
        return
    if status.is_directory:
        raise DiskError(
            "target-not-a-file", f"{target} is a folder", "Name the file to write, as in disk.raw"
        )
    if not is_replacing:
        raise TargetExistsError(
            "target-exists",
            f"{target} exists",
            "Name another file, or give --force to replace this one",
        )


def _check_room(files: Files, image: Image, target: Path) -> None:
    folder = files.status(target.parent)
    if folder is None or not folder.is_directory:
        raise FileNotFoundError(errno.ENOENT, "No such folder", str(target.parent))
    needed = image.stored_extents().total() + _SPARE_ROOM
    free = files.free_space(target.parent)
    if free < needed:
        raise DiskError(
            "not-enough-space",
            f"The disk has up to {needed} bytes of data, and {target.parent} has room for {free}",
            "Free space there, or name a target on another volume",
        )


def _add_zeros(
    update: Callable[[memoryview], object], length: int, advance: Callable[[int], None]
) -> None:
    zeros = memoryview(bytes(_DIGEST_PIECE))
    for start in range(0, length, _DIGEST_PIECE):
        piece = zeros[: length - start]
        update(piece)
        advance(len(piece))
