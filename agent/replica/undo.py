"""Before-images: what the base held where a segment is about to write.

The sealed name of an undo is the record of intent: where it exists, the base may be half written. It is therefore
durable before the first base write, verified before it gets its name, and never built a second time: by then the
base no longer holds what it would have to say.
"""

import errno
import struct
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import google_crc32c
import numpy as np

from agent.replica.footer import Footer, read_footer
from agent.replica.frames import Frame, FrameWriter, Window, read_frames
from agent.replica.images import ImageSet
from agent.replica.journal import Redo
from agent.replica.layout import Layout
from replikera.blocks.extents import Extents
from replikera.blocks.segment import (
    MAX_BATCH_RECORDS,
    MAX_RECORD_BYTES,
    Records,
    SegmentFormatError,
    data_record,
    zero_record,
)
from replikera.durable import TEMPORARY_SUFFIX
from replikera.ports.files import File, Files

HEADER_BYTES = 512
UNDO_FRAME_PAYLOAD = 8 << 20
"""Before-images gathered before they are written: large enough for a sequential write, small beside the budget."""

_MAGIC = b"RKUNDOLG"
_VERSION = 1
_FIELDS = struct.Struct("<8sIIQ16s32s32s")
_CHECKSUM = struct.Struct("<I")


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


def write_undo(
    files: Files, layout: Layout, redo: Redo, images: ImageSet, now: datetime
) -> Iterator[None]:
    """Write, verify and seal the undo of a segment, a window at a time. The base is only read.

    Records of one segment never overlap, so the before-image of each frame is what the base holds now.
    """
    path = layout.undo_file(redo.header.sequence)
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    _remove(files, temporary)
    try:
        yield from _write(files, temporary, redo, images, now)
        yield from _verify(files, temporary)
        files.replace(temporary, path)
    except BaseException:
        _remove(files, temporary)
        raise
    files.sync_directory(layout.undo)


def _remove(files: Files, path: Path) -> None:
    if files.status(path) is not None:
        files.remove(path)


def _write(files: Files, path: Path, redo: Redo, images: ImageSet, now: datetime) -> Iterator[None]:
    header = UndoHeader(
        redo.header.generation, redo.header.sequence, redo.footer.point_id, redo.footer.previous
    )
    with files.create(path) as file:
        file.write(header.encode(), 0)
        frames = FrameWriter(file, HEADER_BYTES)
        yield from _write_frames(frames, redo, images)
        file.write(_footer(header, frames, now).encode(), frames.offset)
        file.sync()


def _footer(header: UndoHeader, frames: FrameWriter, now: datetime) -> Footer:
    return Footer(
        sequence=header.sequence,
        point_id=header.point_id,
        previous=header.previous,
        frames_end=frames.offset,
        trailer_length=0,
        records=frames.records,
        payload_bytes=frames.payload_bytes,
        sealed_at=now,
    )


def _write_frames(frames: FrameWriter, redo: Redo, images: ImageSet) -> Iterator[None]:
    disks = range(len(redo.header.disks))
    allocated = [images[disk].data_extents() for disk in disks]
    gathering = _Gathering(frames)
    for frame in redo.frames():
        for disk, extents in _extents_of(frame.records, disks):
            _gather(gathering, disk, extents, allocated[disk], images)
        yield
    gathering.write()


def _extents_of(records: Records, disks: Sequence[int]) -> Iterator[tuple[int, Extents]]:
    for disk in disks:
        mine = records[records["disk"] == disk]
        if mine.size:
            yield disk, Extents.from_arrays(mine["offset"], mine["offset"] + mine["length"])


def _gather(
    gathering: "_Gathering", disk: int, extents: Extents, allocated: Extents, images: ImageSet
) -> None:
    for offset, length in extents.subtract(allocated):
        gathering.add_zeros(disk, offset, length)
    for offset, length in extents.intersect(allocated).split(MAX_RECORD_BYTES):
        before = gathering.room(length)
        images[disk].read_into(before, offset)
        gathering.add(disk, offset, before)


class _Gathering:
    """Collects before-images into frames of a bounded size."""

    def __init__(self, frames: FrameWriter) -> None:
        self._frames = frames
        self._window = Window()
        self._used = 0
        self._records: list[bytes] = []

    def room(self, length: int) -> memoryview:
        """Return where the next before-image is read to."""
        is_full = self._used + length > UNDO_FRAME_PAYLOAD
        if is_full or len(self._records) == MAX_BATCH_RECORDS:
            self.write()
        return self._window.view(UNDO_FRAME_PAYLOAD)[self._used : self._used + length]

    def add(self, disk: int, offset: int, before: memoryview) -> None:
        """Take what was read into `room`; its place is used again when it is all zeros."""
        words = np.frombuffer(before, dtype=np.int64)
        if words[0] == 0 and not words.any():
            self.add_zeros(disk, offset, len(before))
            return
        self._records.append(data_record(disk, offset, before))
        self._used += len(before)

    def add_zeros(self, disk: int, offset: int, length: int) -> None:
        """Take a range that reads as zeros."""
        if len(self._records) == MAX_BATCH_RECORDS:
            self.write()
        self._records.append(zero_record(disk, offset, length))

    def write(self) -> None:
        """Write what is collected."""
        if self._records:
            payload = self._window.view(UNDO_FRAME_PAYLOAD)[: self._used]
            self._frames.add(b"".join(self._records), [payload])
        self._records.clear()
        self._used = 0


def _verify(files: Files, path: Path) -> Iterator[None]:
    window = Window()
    try:
        with open_undo(files, path) as undo:
            for frame in undo.frames():
                for _ in frame.pieces(undo.file, window):
                    pass
                yield
    except SegmentFormatError as error:
        # The base is untouched: this is the volume's fault and may be tried again.
        raise OSError(
            errno.EIO, f"what was written does not read back: {error}", str(path)
        ) from error
