"""Disks as plain files: the fastest base that the ordering rules can be tried on."""

from pathlib import Path

from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry
from replikera.ports.files import Buffer, File, Files


class RawImage:
    """A file that is the disk. Closing a writable one makes it durable."""

    def __init__(self, file: File, *, is_writable: bool) -> None:
        self._file = file
        self._is_writable = is_writable

    @property
    def size(self) -> int:
        return self._file.size()

    @property
    def block_size(self) -> int:
        return 4096

    def read_into(self, buffer: memoryview, offset: int) -> None:
        assert self._file.read_into(buffer, offset) == len(buffer)

    def data_extents(self) -> Extents:
        return Extents.of(self._file.data_ranges())

    def stored_extents(self) -> Extents:
        return self.data_extents()

    def write(self, data: Buffer, offset: int) -> None:
        assert offset + len(data) <= self._file.size()
        self._file.write(data, offset)

    def zero(self, offset: int, length: int) -> None:
        assert offset + length <= self._file.size()
        self._file.zero(offset, length)

    def flush(self) -> None:
        self._file.sync()

    def close(self) -> None:
        if self._is_writable:
            self.flush()
        self._file.close()


class RawImages:
    """The format of such files."""

    @property
    def suffix(self) -> str:
        return ".img"

    def create(self, file: File, geometry: DiskGeometry) -> RawImage:
        file.truncate(geometry.size)
        return RawImage(file, is_writable=True)

    def open(self, file: File, *, is_writable: bool) -> RawImage:
        return RawImage(file, is_writable=is_writable)

    def create_child(self, file: File, files: Files, parent: Path) -> RawImage:
        with files.open_read(parent) as above:
            file.truncate(above.size())
            file.write(above.read(above.size(), 0), 0)
        return RawImage(file, is_writable=True)
