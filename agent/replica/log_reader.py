"""Reads single records out of many redo and undo files, with few of them open and every record verified."""

import struct
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from agent.replica.errors import BaseDamagedError
from agent.replica.overlay import Stroke
from replikera.blocks.segment import (
    RECORD_BYTES,
    Codec,
    DiskGeometry,
    SegmentFormatError,
    decompress,
    record_checksum,
)
from replikera.ports.files import File, Files

MAX_OPEN_LOGS = 32
"""Files open at once: a point may need thousands."""

MAX_KEPT_RECORDS = 8
"""Records kept because only a part of them was asked for: at most 1 MiB each."""

LOST_CHECKSUM = b"\xff" * 16
"""The checksum of a before-image whose bytes were damaged in the base already: no content is believed to have it."""

_RECORD = struct.Struct("<HBBIqq16s8x")


class DamagedLogError(SegmentFormatError):
    """A redo or undo is not what was sealed; `log` is its place in the list of files."""

    def __init__(self, log: int, problem: object) -> None:
        super().__init__(str(problem))
        self.log = log


class LogReader:
    """Reads from `paths`; a stroke names its log by the place in that list. For one thread at a time."""

    def __init__(self, files: Files, paths: Sequence[Path], disks: Sequence[DiskGeometry]) -> None:
        self._files = files
        self._paths = list(paths)
        self._disks = disks
        self._open: OrderedDict[int, File] = OrderedDict()
        self._kept: OrderedDict[tuple[int, int], tuple[int, memoryview]] = OrderedDict()

    def add(self, paths: Sequence[Path]) -> int:
        """Read from these, too; return the place of the first."""
        first = len(self._paths)
        self._paths.extend(paths)
        return first

    def read_into(self, buffer: memoryview, disk: int, stroke: Stroke) -> None:
        """Fill `buffer` with the bytes of a stroke that has some.

        Raises `DamagedLogError`, and `BaseDamagedError` for bytes that were lost before they came into the log.
        """
        key = stroke.log, stroke.record
        found = self._kept.get(key)
        if found is None:
            found = self._read(disk, stroke)
            if len(found[1]) > len(buffer):
                self._keep(key, found)
        offset, plain = found
        within = stroke.start - offset
        part = plain[within : within + len(buffer)]
        if within < 0 or len(part) != len(buffer):
            raise self._damaged(stroke, "another record than when it was opened")
        buffer[:] = (
            part  # a copy: bytes that are not packed could be read in place, but not be verified in parts
        )

    def close(self) -> None:
        """Close all files; idempotent."""
        while self._open:
            self._open.popitem()[1].close()
        self._kept.clear()

    def _keep(self, key: tuple[int, int], found: tuple[int, memoryview]) -> None:
        self._kept[key] = found
        if len(self._kept) > MAX_KEPT_RECORDS:
            self._kept.popitem(last=False)

    def _read(self, disk: int, stroke: Stroke) -> tuple[int, memoryview]:
        """Return where a record begins and its plain bytes."""
        file = self._file(stroke.log)
        row = file.read(RECORD_BYTES, stroke.record)
        if len(row) != RECORD_BYTES:
            raise self._damaged(stroke, "it ends early")
        place, _, codec, stored, offset, length, checksum = _RECORD.unpack(row)
        if checksum == LOST_CHECKSUM:
            raise BaseDamagedError(disk, self._disks[disk].name, stroke.start)
        payload = memoryview(file.read(stored, stroke.payload))
        try:
            if codec != Codec.NONE:
                payload = memoryview(decompress(Codec(codec), payload, length))
        except ValueError as error:
            raise self._damaged(stroke, error) from error
        if place != disk or record_checksum(disk, offset, length, payload) != checksum:
            raise self._damaged(stroke, f"disk {disk} offset {stroke.start}: wrong checksum")
        return offset, payload

    def _file(self, log: int) -> File:
        file = self._open.get(log)
        if file is None:
            if len(self._open) == MAX_OPEN_LOGS:
                self._open.popitem(last=False)[1].close()
            file = self._open[log] = self._files.open_read(self._paths[log])
        self._open.move_to_end(log)
        return file

    def _damaged(self, stroke: Stroke, problem: object) -> DamagedLogError:
        return DamagedLogError(stroke.log, f"{self._paths[stroke.log].name}: {problem}")
