"""The point that the base is, in one sector, in two copies.

The sequence moves only after the base of that sequence is durable, and a redo is removed only after the sequence
is. Both copies are written every time; two of them are for a disk that loses one, not for crashes.
"""

import struct
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import google_crc32c

from agent.replica.fence import FencedFiles
from agent.replica.layout import Layout
from replikera.blocks.segment import SegmentFormatError
from replikera.durable import TEMPORARY_SUFFIX
from replikera.ports.files import Files

SECTOR_BYTES = 512
_MAGIC = b"RKPOSITN"
_VERSION = 1
_FIELDS = struct.Struct("<8sIIQ16sQQ32sQQQ")
_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Position:
    """Which point the base is; sequence 0 is "no base yet".

    `initial_attempt` names the folder of the base. Attempts of `floor_sequence` below `floor_attempt` were given up.
    """

    generation: str
    epoch: int
    sequence: int
    point_id: bytes
    initial_attempt: int
    floor_sequence: int
    floor_attempt: int
    counter: int = 0

    def attempt_floor(self, sequence: int) -> int:
        """Return the lowest attempt of a sequence that may still come."""
        return self.floor_attempt if self.floor_sequence == sequence else 0

    def encode(self) -> bytes:
        """Return one sector."""
        fields = _FIELDS.pack(
            _MAGIC,
            _VERSION,
            0,
            self.counter,
            uuid.UUID(self.generation).bytes,
            self.epoch,
            self.sequence,
            self.point_id,
            self.initial_attempt,
            self.floor_sequence,
            self.floor_attempt,
        ).ljust(SECTOR_BYTES - _CHECKSUM.size, b"\0")
        return fields + _CHECKSUM.pack(google_crc32c.value(fields))


def decode_position(data: bytes) -> Position:
    """Return what `Position.encode` made. Raises `SegmentFormatError`."""
    fields, checksum = data[: -_CHECKSUM.size], data[-_CHECKSUM.size :]
    if len(data) != SECTOR_BYTES or _CHECKSUM.pack(google_crc32c.value(fields)) != checksum:
        raise SegmentFormatError("the position's checksum is wrong")
    magic, version, _, counter, generation, epoch, sequence, point_id, *numbers = (
        _FIELDS.unpack_from(fields)
    )
    if magic != _MAGIC or version != _VERSION:
        raise SegmentFormatError(f"this is not a position of version {_VERSION}")
    initial_attempt, floor_sequence, floor_attempt = numbers
    return Position(
        generation=str(uuid.UUID(bytes=generation)),
        epoch=epoch,
        sequence=sequence,
        point_id=point_id,
        initial_attempt=initial_attempt,
        floor_sequence=floor_sequence,
        floor_attempt=floor_attempt,
        counter=counter,
    )


def write_position(files: FencedFiles, layout: Layout, position: Position) -> Position:
    """Replace both copies, durably; return the position with its new counter.

    A failure before the first rename changes nothing. One after it leaves open which position is on disk, and is
    therefore one that the fence remembers.
    """
    advanced = replace(position, counter=position.counter + 1)
    temporaries = [path.with_name(path.name + TEMPORARY_SUFFIX) for path in layout.positions]
    for temporary in temporaries:
        _write_copy(files, temporary, advanced.encode())

    def rename() -> None:
        for temporary, path in zip(temporaries, layout.positions, strict=True):
            files.replace(temporary, path)

    files.fence.guard(layout.folder, rename)
    files.sync_directory(layout.folder)
    return advanced


def _write_copy(files: Files, temporary: Path, data: bytes) -> None:
    if files.status(temporary) is not None:
        files.remove(temporary)
    with files.create(temporary) as file:
        file.write(data, 0)
        file.sync()


def read_position(files: FencedFiles, layout: Layout) -> Position:
    """Return the newest valid copy; two copies that differ are made equal again."""
    copies = []
    for path in layout.positions:
        with suppress(SegmentFormatError, FileNotFoundError, ValueError):
            copies.append(decode_position(files.read_bytes(path, limit=SECTOR_BYTES)))
    if not copies:
        raise SegmentFormatError("both copies of the position are damaged")
    newest = max(copies, key=lambda copy: copy.counter)
    if copies == [newest, newest]:
        return newest
    return write_position(files, layout, newest)
