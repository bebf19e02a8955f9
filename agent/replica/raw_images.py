"""Disks as raw files: every byte at its place, zeros as holes where the volume has them."""

from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry
from replikera.ports.files import Buffer, File

_UNIT = 4096
"""Smaller than what any volume allocates at once."""


class RawImages:
    """Raw files as `NewImages`: for points that are exported, not for bases."""

    @property
    def suffix(self) -> str:
        """Return the ending of file names."""
        return ".raw"

    def create(self, file: File, geometry: DiskGeometry) -> "RawImage":
        """Give an empty file the length of the disk."""
        file.truncate(geometry.size)
        return RawImage(file, is_writable=True)

    def open(self, file: File, *, is_writable: bool) -> "RawImage":
        """Open a file that `create` made."""
        return RawImage(file, is_writable=is_writable)


class RawImage:
    """A file that is the disk."""

    def __init__(self, file: File, *, is_writable: bool) -> None:
        self._file = file
        self._is_writable = is_writable

    @property
    def size(self) -> int:
        """Return the size of the disk in bytes."""
        return self._file.size()

    @property
    def block_size(self) -> int:
        """Return the unit in which the file grows, in bytes."""
        return _UNIT

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill `buffer`. Raises `EOFError` where the file is shorter than the disk."""
        if self._file.read_into(buffer, offset) != len(buffer):
            raise EOFError(f"{self._file.path} is cut off before {offset + len(buffer)}")

    def data_extents(self) -> Extents:
        """Return what is not a hole."""
        return Extents.of(self._file.data_ranges())

    def stored_extents(self) -> Extents:
        """Return what is not a hole."""
        return self.data_extents()

    def write(self, data: Buffer, offset: int) -> None:
        """Write; not durable before `flush`."""
        self._file.write(data, offset)

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros; not durable before `flush`."""
        self._file.zero(offset, length)

    def flush(self) -> None:
        """Return when all writes are durable."""
        self._file.sync()

    def close(self) -> None:
        """Close, with everything durable where it was open for writing."""
        if self._is_writable:
            self._file.sync()
        self._file.close()
