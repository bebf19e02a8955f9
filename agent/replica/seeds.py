"""Fills the images of a new pass with disks that were brought to this host: what differs is then all that is sent.

A seed is whatever its file says; nothing is believed of it. Everything in it is compared with the source before the
first point exists, so a wrong seed costs bytes and never correctness.
"""

import os.path
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from agent.replica.accepted import Seed
from agent.replica.base_images import BaseWriter
from agent.replica.errors import ReplicaError
from agent.replica.frames import Window
from agent.replica.pieces import Piece
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry
from replikera.ports.files import File, Files
from replikera.vhdx import Image, Parents, VhdxError, open_image

COPY_BYTES = 4 << 20
"""Bytes that are copied before others have their turn."""

_ALIGNMENT = 64 << 10
_VHDX = b"vhdxfile"
_OTHERS = {b"QFI\xfb": "a QCOW2 file", b"KDMV": "a VMDK file", b"conectix": "a VHD file"}
_CONVERT = "Convert it into a VHDX (Convert-VHD, or `qemu-img convert -O vhdx`)."
_AGAIN = "Replication then goes on by itself; or enable the protection without this seed."


class SeedDisk:
    """The disk in one file, for reading."""

    def __init__(self, file: File, image: Image | None) -> None:
        """Take an open file; `image` is None where the file is the disk itself."""
        self._file = file
        self._image = image

    @property
    def size(self) -> int:
        """Return the bytes of the disk."""
        return self._file.size() if self._image is None else self._image.size

    def data_extents(self) -> Extents:
        """Return what may hold other than zeros."""
        image = self._image
        found = Extents.of(self._file.data_ranges()) if image is None else image.data_extents()
        return found.align(_ALIGNMENT, self.size)

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill `buffer`. Raises `OSError`, `VhdxError`."""
        if self._image is not None:
            self._image.read_into(buffer, offset)
        elif self._file.read_into(buffer, offset) != len(buffer):
            raise VhdxError(self._file.path, "it has become shorter", "Copy it again.")

    def close(self) -> None:
        """Close the file and its parents."""
        if self._image is not None:
            self._image.close()
        self._file.close()


class SeedCopy:
    """Copies seeds into the images of one pass. What was left in the middle goes on where it was."""

    def __init__(
        self,
        files: Files,
        folder: Path | None,
        disks: Sequence[DiskGeometry],
        seeds: tuple[Seed, ...],
    ) -> None:
        """`folder` is where seeds are, None where the host takes none."""
        self.seeds = seeds
        self._files = files
        self._folder = folder
        self._disks = disks
        self._done = 0
        self._reached = 0
        self._window = Window()

    def run(self, writer: BaseWriter, require_space: Callable[[int], None]) -> Iterator[None]:
        """Copy a piece at a time. Raises `ReplicaError` that names the file, `OSError` of the images."""
        while self._done < len(self.seeds):
            yield from self._copy(self.seeds[self._done], writer, require_space)
            self._done, self._reached = self._done + 1, 0

    def _copy(
        self, seed: Seed, writer: BaseWriter, require_space: Callable[[int], None]
    ) -> Iterator[None]:
        number = self._find_disk(seed)
        folder = self._require_folder(seed)
        path = self._find_file(folder, seed)
        with _opened(self._files, folder, path) as disk:
            _check_size(path, disk.size, self._disks[number])
            left = disk.data_extents().subtract(Extents.whole(self._reached))
            for offset, length in left.split(COPY_BYTES):
                buffer = self._window.view(length)
                with _reading(path):
                    disk.read_into(buffer, offset)
                if np.frombuffer(buffer, dtype=np.uint8).any():
                    require_space(length)
                    writer.paint(Piece(number, offset, length, buffer))
                self._reached = offset + length
                yield

    def _find_disk(self, seed: Seed) -> int:
        for number, disk in enumerate(self._disks):
            if disk.name == seed.disk_name:
                return number
        names = ", ".join(disk.name for disk in self._disks)
        raise ReplicaError(
            "seed-unmatched",
            f"The seed {seed.file_name} is for a disk {seed.disk_name}; the machine has {names}.",
            f"Enable the protection again with the right name of the disk. {_AGAIN}",
        )

    def _require_folder(self, seed: Seed) -> Path:
        if self._folder is None:
            raise ReplicaError(
                "seeds-not-taken",
                f"The seed {seed.file_name} cannot be used: this host has no folder for seeds.",
                f"Name one as storage.seed_folder in the host's agent settings and restart the agent. {_AGAIN}",
            )
        return self._folder

    def _find_file(self, folder: Path, seed: Seed) -> Path:
        path = _inside(folder, folder / seed.file_name)
        if path is None:
            raise ReplicaError(
                "seed-outside",
                f"The seed {seed.file_name} is not inside {folder}.",
                f"Name a file of that folder. {_AGAIN}",
            )
        status = self._files.status(path)
        if status is None or status.is_directory:
            raise ReplicaError(
                "seed-missing",
                f"There is no seed {path}.",
                f"Copy the disk there, or enable the protection without it. {_AGAIN}",
            )
        return path


@contextmanager
def _opened(files: Files, folder: Path, path: Path) -> Iterator[SeedDisk]:
    with _reading(path):
        disk = open_seed(files, folder, path)
    try:
        yield disk
    finally:
        disk.close()


def open_seed(files: Files, folder: Path, path: Path) -> SeedDisk:
    """Open a file of the folder, with its parents from the same folder. Raises `VhdxError`, `OSError`."""
    file = files.open_read(path)
    try:
        start = file.read(len(_VHDX), 0)
        _refuse_others(path, start)
        is_vhdx = start == _VHDX
        return SeedDisk(
            file, open_image(file, parents=_parents(files, folder)) if is_vhdx else None
        )
    except BaseException:
        file.close()
        raise


def _refuse_others(path: Path, start: bytes) -> None:
    for signature, what in _OTHERS.items():
        if start.startswith(signature):
            raise VhdxError(path, f"it is {what}", _CONVERT)


def _parents(files: Files, folder: Path) -> Parents:
    """Return parents that are looked for in this folder only: a file says itself where its parent is."""

    def open_read(path: Path) -> File:
        found = _inside(folder, path)
        if found is None:
            raise FileNotFoundError(f"{path} is not inside {folder}")
        return files.open_read(found)

    def exists(path: Path) -> bool:
        found = _inside(folder, path)
        return found is not None and files.status(found) is not None

    return Parents(open_read, exists)


def _inside(folder: Path, path: Path) -> Path | None:
    """Return the path as a file directly in the folder, None where it is anywhere else."""
    plain = Path(os.path.normpath(path))
    return plain if plain.parent == folder and plain != folder else None


def _check_size(path: Path, size: int, disk: DiskGeometry) -> None:
    if size > disk.size:
        raise ReplicaError(
            "seed-too-large",
            f"The disk in the seed {path} has {size} bytes, {disk.name} of the machine has {disk.size}.",
            f"Choose the file that is a copy of that disk. {_AGAIN}",
        )
    if not size or size % disk.logical_sector_size:
        raise ReplicaError(
            "seed-unreadable",
            f"The seed {path} has {size} bytes: neither a VHDX nor a raw disk of whole sectors.",
            f"{_CONVERT} {_AGAIN}",
        )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except VhdxError as error:
        raise ReplicaError(
            "seed-unreadable",
            f"The seed {path} cannot be used: {error.path}: {error.problem}.",
            f"{error.remedy} {_AGAIN}",
        ) from error
    except OSError as error:
        raise ReplicaError(
            "seed-unreadable",
            f"The seed {path} cannot be read: {error}.",
            f"Make it readable for the agent. {_AGAIN}",
        ) from error
