"""Before-images: what a point holds where the segment after it writes.

A sealed undo above the base is worth nothing by itself; the intent that names it makes it the only way back. It is
therefore durable and read back before the intent is, and never built a second time once there is one: by then the base
may no longer hold what it would have to say.
"""

import errno
import struct
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import google_crc32c
import numpy as np

from agent.replica.errors import BaseDamagedError
from agent.replica.footer import Footer, read_footer
from agent.replica.frames import Frame, FrameWriter, Window, read_frames
from agent.replica.layout import Layout
from agent.replica.log_reader import LOST_CHECKSUM, LogReader
from agent.replica.overlay import ZEROS, Stroke, strokes_of
from replikera.blocks.segment import (
    MAX_BATCH_RECORDS,
    MAX_RECORD_BYTES,
    DiskGeometry,
    SegmentFormatError,
    data_record,
    zero_record,
)
from replikera.durable import TEMPORARY_SUFFIX
from replikera.ports.files import File, Files

HEADER_BYTES = 512
GATHERED_BYTES = 8 << 20
"""Before-images gathered over all undos of a batch before they are written."""

_MAGIC = b"RKUNDOLG"
_VERSION = 1
_FIELDS = struct.Struct("<8sIIQ16s32s32s")
_CHECKSUM = struct.Struct("<I")
_CHECKSUM_PLACE = 24


@dataclass(frozen=True, slots=True)
class UndoHeader:
    """The undo leads from the point `point_id` to the point before it, `previous`."""

    generation: str
    sequence: int
    point_id: bytes
    previous: bytes

    def encode(self) -> bytes:
        """Return one sector."""
        generation = uuid.UUID(self.generation).bytes
        fields = _FIELDS.pack(
            _MAGIC, _VERSION, 0, self.sequence, generation, self.point_id, self.previous
        ).ljust(HEADER_BYTES - _CHECKSUM.size, b"\0")
        return fields + _CHECKSUM.pack(google_crc32c.value(fields))


def decode_undo_header(data: bytes) -> UndoHeader:
    """Return what `UndoHeader.encode` made. Raises `SegmentFormatError`."""
    fields, checksum = data[: -_CHECKSUM.size], data[-_CHECKSUM.size :]
    if len(data) != HEADER_BYTES or _CHECKSUM.pack(google_crc32c.value(fields)) != checksum:
        raise SegmentFormatError("the header of an undo is damaged")
    magic, version, _, sequence, generation, point_id, previous = _FIELDS.unpack_from(fields)
    if magic != _MAGIC or version != _VERSION:
        raise SegmentFormatError(f"this is not an undo of version {_VERSION}")
    return UndoHeader(str(uuid.UUID(bytes=generation)), sequence, point_id, previous)


@dataclass(frozen=True, slots=True)
class Undo:
    """A sealed undo, open for reading."""

    file: File
    header: UndoHeader
    footer: Footer

    def frames(self) -> Iterator[Frame]:
        """Yield the frames."""
        return read_frames(self.file, HEADER_BYTES, self.footer.frames_end)


@contextmanager
def open_undo(files: Files, path: Path) -> Iterator[Undo]:
    """Open an undo; its payload is checked as it is read. Raises `SegmentFormatError`."""
    with files.open_read(path) as file:
        header = decode_undo_header(file.read(HEADER_BYTES, 0))
        footer = read_footer(file)
        identity = (header.sequence, header.point_id, header.previous)
        if identity != (footer.sequence, footer.point_id, footer.previous):
            raise SegmentFormatError(f"header and footer of {path.name} disagree")
        yield Undo(file, header, footer)


class UndoWriter:
    """Writes one undo under a temporary name; a context that removes it unless it was sealed."""

    def __init__(self, files: Files, layout: Layout, header: UndoHeader, share: int) -> None:
        """`share` is the number of undos that are written at the same time."""
        self._files = files
        self._header = header
        self._path = layout.undo_file(header.sequence)
        self._temporary = self._path.with_name(self._path.name + TEMPORARY_SUFFIX)
        self._remove()
        self._file = files.create(self._temporary)
        self._frames = FrameWriter(self._file, HEADER_BYTES)
        self._room = GATHERED_BYTES // share
        self._window = Window()
        self._used = 0
        self._records: list[bytes] = []

    def add(self, disk: int, offset: int, before: memoryview, *, is_lost: bool = False) -> None:
        """Take what a range held; `is_lost` says that this is not what it should have held."""
        most = min(self._room, MAX_RECORD_BYTES)
        for start in range(0, len(before), most):
            self._add(disk, offset + start, before[start : start + most], is_lost=is_lost)

    def add_zeros(self, disk: int, offset: int, length: int) -> None:
        """Take a range that read as zeros."""
        if len(self._records) == MAX_BATCH_RECORDS:
            self._write()
        self._records.append(zero_record(disk, offset, length))

    def finish(self, now: datetime) -> None:
        """Make all of it durable under its temporary name."""
        self._write()
        footer = Footer(
            sequence=self._header.sequence,
            point_id=self._header.point_id,
            previous=self._header.previous,
            frames_end=self._frames.offset,
            trailer_length=0,
            records=self._frames.records,
            payload_bytes=self._frames.payload_bytes,
            sealed_at=now,
        )
        self._file.write(footer.encode(), self._frames.offset)
        self._file.sync()
        self._file.close()

    def verify(self, disks: Sequence[DiskGeometry]) -> Iterator[None]:
        """Read back what was written. Raises `OSError`: the base is untouched, and it may be tried again."""
        try:
            yield from _verify(self._files, self._temporary, disks)
        except SegmentFormatError as error:
            problem = f"what was written does not read back: {error}"
            raise OSError(errno.EIO, problem, str(self._temporary)) from error

    def seal(self) -> None:
        """Give it its name; the folder is not synced."""
        self._files.replace(self._temporary, self._path)

    def __enter__(self) -> Self:
        try:
            self._file.write(self._header.encode(), 0)
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        self._remove()

    def _add(self, disk: int, offset: int, before: memoryview, *, is_lost: bool) -> None:
        words = np.frombuffer(before, dtype=np.int64)
        if not is_lost and not words[0] and not words.any():
            self.add_zeros(disk, offset, len(before))
            return
        if self._used + len(before) > self._room or len(self._records) == MAX_BATCH_RECORDS:
            self._write()
        self._window.view(self._room)[self._used : self._used + len(before)] = before
        self._used += len(before)
        self._records.append(
            _lost_record(disk, offset, before) if is_lost else data_record(disk, offset, before)
        )

    def _write(self) -> None:
        if self._records:
            payload = self._window.view(self._room)[: self._used]
            self._frames.add(b"".join(self._records), [payload])
        self._records.clear()
        self._used = 0

    def _remove(self) -> None:
        if self._files.status(self._temporary) is not None:
            self._files.remove(self._temporary)


def _lost_record(disk: int, offset: int, before: memoryview) -> bytes:
    record = data_record(disk, offset, before)
    end = _CHECKSUM_PLACE + len(LOST_CHECKSUM)
    return record[:_CHECKSUM_PLACE] + LOST_CHECKSUM + record[end:]


def _verify(files: Files, path: Path, disks: Sequence[DiskGeometry]) -> Iterator[None]:
    window = Window()
    reader = LogReader(files, [path], disks)
    try:
        with open_undo(files, path) as undo:
            for frame in undo.frames():
                for disk in range(len(disks)):
                    for stroke in strokes_of(frame, disk, 0):
                        _read_back(reader, window, disk, stroke)
                yield
    finally:
        reader.close()


def _read_back(reader: LogReader, window: Window, disk: int, stroke: Stroke) -> None:
    if stroke.log == ZEROS:
        return
    try:
        reader.read_into(window.view(stroke.end - stroke.start), disk, stroke)
    except BaseDamagedError:
        return  # it says so itself
