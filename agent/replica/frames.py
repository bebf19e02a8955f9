"""Groups of records with their payload, one behind the other in a file: the body of redo and undo."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import google_crc32c
import numpy as np

from agent.replica.pieces import Piece, verified_pieces
from replikera.blocks.segment import (
    MAX_BATCH_RECORDS,
    RECORD_BYTES,
    Records,
    SegmentFormatError,
    parse_records,
)
from replikera.ports.files import Buffer, File

MAX_FRAME_PAYLOAD = 32 << 20
"""Bytes of payload in one frame, and so in memory at once while one is applied."""

_MAGIC = b"RKFR"
_FIELDS = struct.Struct("<4sIQI8x")
_CHECKSUM = struct.Struct("<I")
_PREFIX_BYTES = _FIELDS.size + _CHECKSUM.size
_GUESS = _PREFIX_BYTES + 84 * RECORD_BYTES
"""One read gets the whole table of most frames: 64 MiB in records of 1 MiB."""


class FrameWriter:
    """Appends frames and counts what they hold."""

    def __init__(self, file: File, offset: int) -> None:
        self._file = file
        self.offset = offset
        self.records = 0
        self.payload_bytes = 0

    def add(self, records: bytes, payloads: Sequence[Buffer]) -> None:
        """Write one frame; nothing is durable yet."""
        length = sum(len(payload) for payload in payloads)
        count = len(records) // RECORD_BYTES
        fields = _FIELDS.pack(_MAGIC, count, length, google_crc32c.value(records))
        prefix = fields + _CHECKSUM.pack(google_crc32c.value(fields))
        self._file.write_many([prefix, records, *payloads], self.offset)
        self.offset += len(prefix) + len(records) + length
        self.records += count
        self.payload_bytes += length

    def skip(self, frame: "Frame") -> None:
        """Go on behind a frame that is there already."""
        self.offset = frame.payload_offset + frame.payload_length
        self.records += len(frame.records)
        self.payload_bytes += frame.payload_length


class Window:
    """Memory that one frame after the other is read into."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray())

    def view(self, length: int) -> memoryview:
        """Return `length` bytes to read into; they overwrite what the last call returned."""
        if len(self._buffer) < length:
            self._buffer = np.empty(length, dtype=np.uint8).data
        return self._buffer[:length]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame in a file: its records, and where their payload is."""

    records: Records
    payload_offset: int
    payload_length: int

    def pieces(self, file: File, window: Window) -> Iterator[Piece]:
        """Yield the verified pieces; they live in the window and are gone at the next frame."""
        payload = window.view(self.payload_length)
        if file.read_into(payload, self.payload_offset) != self.payload_length:
            raise SegmentFormatError(f"{file.path.name} ends inside a frame")
        return verified_pieces(self.records, [payload])


def read_frames(file: File, offset: int, end: int) -> Iterator[Frame]:
    """Yield the frames between two offsets; they must fill the space exactly."""
    while offset < end:
        frame = _read_frame(file, offset)
        offset = frame.payload_offset + frame.payload_length
        if offset > end:
            raise SegmentFormatError(f"{file.path.name}: a frame goes beyond the end")
        yield frame


def _read_frame(file: File, offset: int) -> Frame:
    start = file.read(_GUESS, offset)
    fields = start[: _FIELDS.size]
    if _CHECKSUM.pack(google_crc32c.value(fields)) != start[_FIELDS.size : _PREFIX_BYTES]:
        raise SegmentFormatError(f"{file.path.name}: damaged frame at {offset}")
    magic, count, length, checksum = _FIELDS.unpack(fields)
    if magic != _MAGIC or count > MAX_BATCH_RECORDS or length > MAX_FRAME_PAYLOAD:
        raise SegmentFormatError(f"{file.path.name}: no frame at {offset}")
    table_end = _PREFIX_BYTES + count * RECORD_BYTES
    table = start[_PREFIX_BYTES:table_end]
    table += (
        file.read(table_end - len(start), offset + len(start)) if table_end > len(start) else b""
    )
    if google_crc32c.value(table) != checksum:
        raise SegmentFormatError(f"{file.path.name}: damaged records in the frame at {offset}")
    return Frame(parse_records(table), offset + table_end, length)
