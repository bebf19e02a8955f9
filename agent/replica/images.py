"""The disk images of a base, and the operations that receiving, applying and recovering need of one."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, Self

from agent.replica.pieces import Piece
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry
from replikera.ports.files import Buffer, File, Files
from replikera.ports.randomness import Randomness
from replikera.vhdx import create_child, create_image, open_image, open_path

MAX_ZERO_BYTES = 1 << 30
"""Bytes zeroed at once: a record of zeros may cover a whole disk, and an image lists the blocks it touches."""


class DiskImage(Protocol):
    """One disk in a file. Offsets and lengths are whole sectors."""

    @property
    def size(self) -> int:
        """Return the size of the disk in bytes."""

    @property
    def block_size(self) -> int:
        """Return the unit in which the file grows, in bytes."""

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill `buffer` with what the disk holds."""

    def data_extents(self) -> Extents:
        """Return what may hold something other than zeros."""

    def stored_extents(self) -> Extents:
        """Return what of it takes room on the volume: what is a hole there is zeros. Asks for every hole."""

    def write(self, data: Buffer, offset: int) -> None:
        """Write; not durable before `flush`."""

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros; not durable before `flush`."""

    def flush(self) -> None:
        """Return when all writes are durable."""

    def close(self) -> None:
        """Close, with everything durable where it was open for writing; idempotent."""


class NewImages(Protocol):
    """How disks are written to files and read again."""

    @property
    def suffix(self) -> str:
        """Return the ending of file names, with its dot."""

    def create(self, file: File, geometry: DiskGeometry) -> DiskImage:
        """Make an empty image in an empty file, open for writing."""

    def open(self, file: File, *, is_writable: bool) -> DiskImage:
        """Open an image that `create` made."""


class ImageFormat(NewImages, Protocol):
    """How the disks of a base are kept in files."""

    def create_child(self, file: File, files: Files, parent: Path) -> DiskImage:
        """Make an image in an empty file that shows what `parent` shows, and takes what is written.

        A parent whose writer was killed is put in order first: nobody may be using it.
        """


class VhdxImages:
    """Dynamic VHDX: what Hyper-V attaches, thin without the help of the file system."""

    def __init__(self, randomness: Randomness) -> None:
        self._randomness = randomness

    @property
    def suffix(self) -> str:
        """Return the ending of file names."""
        return ".vhdx"

    def create(self, file: File, geometry: DiskGeometry) -> DiskImage:
        """Make an empty dynamic image."""
        return create_image(
            file,
            size=geometry.size,
            logical_sector_size=geometry.logical_sector_size,
            randomness=self._randomness,
        )

    def open(self, file: File, *, is_writable: bool) -> DiskImage:
        """Open an image."""
        return open_image(
            file, writable=is_writable, randomness=self._randomness if is_writable else None
        )

    def create_child(self, file: File, files: Files, parent: Path) -> DiskImage:
        """Make a differencing image."""
        above = open_path(files, parent)
        if above.needs_its_log:
            above.close()
            open_path(files, parent, writable=True, randomness=self._randomness).close()
            above = open_path(files, parent)
        try:
            return create_child(file, above, parent_path=parent, randomness=self._randomness)
        except BaseException:
            above.close()
            raise


class ImageSet:
    """The images of all disks, open together; as a context it closes them, or gives up after an exception."""

    def __init__(self, files: Sequence[File], images: Sequence[DiskImage]) -> None:
        self._files = files
        self._images = images

    def __getitem__(self, disk: int) -> DiskImage:
        """Return the image of a disk by its place in the list of disks."""
        return self._images[disk]

    def hole_unit(self, disk: int, files: Files) -> int | None:
        """Return in which units the volume fills the holes of an image's file, None where that has none."""
        status = files.status(self._files[disk].path)
        if status is None or status.allocated >= status.size:
            return None
        return status.allocation_unit

    def block_size(self, disk: int) -> int:
        """Return the unit in which an image grows, in bytes."""
        return self._images[disk].block_size

    def paint(self, piece: Piece) -> None:
        """Write one piece to its disk."""
        image = self._images[piece.disk]
        if piece.data is not None:
            image.write(piece.data, piece.offset)
            return
        end = piece.offset + piece.length
        for offset in range(piece.offset, end, MAX_ZERO_BYTES):
            image.zero(offset, min(MAX_ZERO_BYTES, end - offset))

    def close(self) -> None:
        """Make everything durable and close."""
        for image in self._images:
            image.close()

    def give_up(self) -> None:
        """Close without making anything durable; idempotent."""
        for file in self._files:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self.give_up()


def image_paths(folder: Path, count: int, image_format: ImageFormat) -> list[Path]:
    """Return the files of a base, in the order of the list of disks."""
    return [folder / f"{disk:02d}{image_format.suffix}" for disk in range(count)]


def create_images(
    files: Files,
    paths: Sequence[Path],
    disks: Sequence[DiskGeometry],
    image_format: NewImages,
) -> ImageSet:
    """Make empty images, open for writing; their names are not durable yet."""
    with ExitStack() as stack:
        opened = [stack.enter_context(files.create(path)) for path in paths]
        images = [
            image_format.create(file, geometry)
            for file, geometry in zip(opened, disks, strict=True)
        ]
        stack.pop_all()
    return ImageSet(opened, images)


def create_children(
    files: Files, paths: Sequence[Path], parents: Sequence[Path], image_format: ImageFormat
) -> ImageSet:
    """Make images over others that nobody writes, open for writing; their names are not durable yet."""
    with ExitStack() as stack:
        opened = [stack.enter_context(files.create(path)) for path in paths]
        images = [
            image_format.create_child(file, files, parent)
            for file, parent in zip(opened, parents, strict=True)
        ]
        stack.pop_all()
    return ImageSet(opened, images)


def open_images(
    files: Files, paths: Sequence[Path], image_format: ImageFormat, *, is_writable: bool
) -> ImageSet:
    """Open images that are there."""
    open_file = files.open_write if is_writable else files.open_read
    with ExitStack() as stack:
        opened = [stack.enter_context(open_file(path)) for path in paths]
        images = [image_format.open(file, is_writable=is_writable) for file in opened]
        stack.pop_all()
    return ImageSet(opened, images)
