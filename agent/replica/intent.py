"""The record of an apply that has begun: which points it leads to, and what it makes of every granule that it touches.

Where it is, the base may hold bytes of any of its points; where it is not, the base is one point. It has two copies:
for a disk that loses one, not for crashes.
"""

import struct
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from replikera.blocks.segment import SegmentFormatError
from replikera.durable import TEMPORARY_SUFFIX
from replikera.ports.files import File, Files

HEADER_BYTES = 512
MAX_ENTRIES = 1 << 16
"""Granules in one frame: 2 MiB."""

ENTRY = np.dtype([("disk", "<i8"), ("granule", "<i8"), ("before", "<u8"), ("after", "<u8")])
Entries: TypeAlias = NDArray[np.void]
"""An array of `ENTRY`: sums of granules before and after the apply."""

_MAGIC = b"RKINTENT"
_FRAME_MAGIC = b"RKIF"
_END_MAGIC = b"RKIE"
_VERSION = 1
_FIELDS = struct.Struct("<8sIIQQ16s32s32s")
_FRAME = struct.Struct("<4sII")
_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class IntentHeader:
    """The apply leads from the base's point `sequence`, `point_id`, to the point `last_sequence`, `last_id`."""

    generation: str
    sequence: int
    point_id: bytes
    last_sequence: int
    last_id: bytes

    def encode(self) -> bytes:
        """Return one sector."""
        generation = uuid.UUID(self.generation).bytes
        fields = _FIELDS.pack(
            _MAGIC,
            _VERSION,
            0,
            self.sequence,
            self.last_sequence,
            generation,
            self.point_id,
            self.last_id,
        ).ljust(HEADER_BYTES - _CHECKSUM.size, b"\0")
        return fields + _CHECKSUM.pack(google_crc32c.value(fields))


def _decode_header(data: bytes) -> IntentHeader:
    fields, checksum = data[: -_CHECKSUM.size], data[-_CHECKSUM.size :]
    if len(data) != HEADER_BYTES or _CHECKSUM.pack(google_crc32c.value(fields)) != checksum:
        raise SegmentFormatError("the header of an intent is damaged")
    magic, version, _, sequence, last, generation, point_id, last_id = _FIELDS.unpack_from(fields)
    if magic != _MAGIC or version != _VERSION:
        raise SegmentFormatError(f"this is not an intent of version {_VERSION}")
    return IntentHeader(str(uuid.UUID(bytes=generation)), sequence, point_id, last, last_id)


def temporary_of(path: Path) -> Path:
    """Return the name of a copy before it means anything."""
    return path.with_name(path.name + TEMPORARY_SUFFIX)


class IntentWriter:
    """Writes both copies under temporary names; a context that removes them unless they were sealed."""

    def __init__(self, files: Files, paths: Sequence[Path], header: IntentHeader) -> None:
        self._files = files
        self._paths = paths
        self._header = header
        self._offset = HEADER_BYTES
        self._opened: list[File] = []

    def add(self, entries: Entries) -> None:
        """Append granules, ascending by disk and granule over all calls of one slice."""
        for start in range(0, len(entries), MAX_ENTRIES):
            self._append(_FRAME_MAGIC, entries[start : start + MAX_ENTRIES])

    def seal(self) -> None:
        """Make both copies durable, read them back, and give them their names, durably."""
        self._append(_END_MAGIC, np.zeros(0, dtype=ENTRY))
        for file in self._opened:
            file.sync()
            file.close()
        for path in self._paths:
            with open_intent(self._files, temporary_of(path)) as intent:
                for _ in intent.frames():
                    pass
        for path in self._paths:
            self._files.replace(temporary_of(path), path)
        self._files.sync_directory(self._paths[0].parent)

    def give_up(self) -> None:
        """Close and remove what is not sealed; idempotent."""
        for file in self._opened:
            file.close()
        for path in self._paths:
            _remove(self._files, temporary_of(path))

    def __enter__(self) -> Self:
        try:
            for path in self._paths:
                _remove(self._files, temporary_of(path))
                self._opened.append(self._files.create(temporary_of(path)))
                self._opened[-1].write(self._header.encode(), 0)
        except OSError:
            self.give_up()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.give_up()

    def _append(self, magic: bytes, entries: Entries) -> None:
        table = entries.tobytes()
        prefix = _FRAME.pack(magic, len(entries), google_crc32c.value(table))
        frame = b"".join((prefix, _CHECKSUM.pack(google_crc32c.value(prefix)), table))
        for file in self._opened:
            file.write(frame, self._offset)
        self._offset += len(frame)


@dataclass(frozen=True, slots=True)
class Intent:
    """A sealed intent, open for reading."""

    file: File
    header: IntentHeader

    def frames(self) -> Iterator[Entries]:
        """Yield all entries. Raises `SegmentFormatError`."""
        offset, prefix_bytes = HEADER_BYTES, _FRAME.size + _CHECKSUM.size
        while True:
            prefix = self.file.read(prefix_bytes, offset)
            fields = prefix[: _FRAME.size]
            if _CHECKSUM.pack(google_crc32c.value(fields)) != prefix[_FRAME.size :]:
                raise SegmentFormatError(f"{self.file.path.name}: damaged frame at {offset}")
            magic, count, checksum = _FRAME.unpack(fields)
            if magic not in (_FRAME_MAGIC, _END_MAGIC) or count > MAX_ENTRIES:
                raise SegmentFormatError(f"{self.file.path.name}: no frame at {offset}")
            table = self.file.read(count * ENTRY.itemsize, offset + prefix_bytes)
            if google_crc32c.value(table) != checksum:
                raise SegmentFormatError(f"{self.file.path.name}: damaged entries at {offset}")
            if magic == _END_MAGIC:
                return
            yield np.frombuffer(table, dtype=ENTRY)
            offset += prefix_bytes + len(table)


@contextmanager
def open_intent(files: Files, path: Path) -> Iterator[Intent]:
    """Open one copy. Raises `SegmentFormatError`, `OSError`."""
    with files.open_read(path) as file:
        yield Intent(file, _decode_header(file.read(HEADER_BYTES, 0)))


def find_intent(
    files: Files, paths: Sequence[Path], point_id: bytes
) -> tuple[Path, IntentHeader] | None:
    """Return a whole copy of the intent that goes on from a point, None where no apply has begun.

    While the base is in doubt, all copies are there and say so: one that is missing or of another point says that it
    is not. Raises `SegmentFormatError` where all copies are damaged.
    """
    damage: list[SegmentFormatError] = []
    for path in paths:
        try:
            with open_intent(files, path) as intent:
                for _ in intent.frames():
                    pass
        except FileNotFoundError:
            continue
        except SegmentFormatError as error:
            damage.append(error)
            continue
        if intent.header.point_id == point_id:
            return path, intent.header
    if len(damage) == len(paths):
        raise damage[0]
    return None


def _remove(files: Files, path: Path) -> None:
    if files.status(path) is not None:
        files.remove(path)
