"""Logs as other software writes them, built from the specification's text and without `replikera.vhdx`."""

import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import google_crc32c

MIB = 1 << 20
SECTOR = 4096
LOG_ID = uuid.UUID("77777777-1111-4222-8333-444444444444")


@dataclass(frozen=True)
class Page:
    offset: int
    data: bytes


@dataclass(frozen=True)
class Zeros:
    offset: int
    length: int


@dataclass(frozen=True)
class Entry:
    """One entry; `tail` None points at itself."""

    sequence: int
    changes: Sequence[Page | Zeros] = ()
    tail: int | None = None
    flushed: int = 0
    last: int = 0
    log_id: uuid.UUID = LOG_ID
    spoil: dict[int, bytes] = field(default_factory=dict)
    """Bytes put over the entry before its checksum is made."""

    def encode(self, position: int) -> bytes:
        pages = [change for change in self.changes if isinstance(change, Page)]
        head = 64 + 32 * len(self.changes)
        length = -(-head // SECTOR) * SECTOR + SECTOR * len(pages)
        tail = position if self.tail is None else self.tail
        data = struct.pack(
            "<4sIIIQII", b"loge", 0, length, tail, self.sequence, len(self.changes), 0
        )
        data += self.log_id.bytes_le + struct.pack("<QQ", self.flushed, self.last)
        for change in self.changes:
            data += self._descriptor(change)
        data = data.ljust(-(-head // SECTOR) * SECTOR, b"\0")
        for page in pages:
            high, low = self.sequence >> 32, self.sequence & 0xFFFFFFFF
            data += struct.pack("<4sI4084sI", b"data", high, page.data[8:4092], low)
        for at, spoiled in self.spoil.items():
            data = data[:at] + spoiled + data[at + len(spoiled) :]
        return data[:4] + struct.pack("<I", google_crc32c.value(data)) + data[8:]

    def _descriptor(self, change: Page | Zeros) -> bytes:
        if isinstance(change, Zeros):
            return struct.pack("<4sIQQQ", b"zero", 0, change.length, change.offset, self.sequence)
        leading, trailing = change.data[:8], change.data[4092:]
        return struct.pack("<4s4s8sQQ", b"desc", trailing, leading, change.offset, self.sequence)


def lay(log: bytearray, position: int, data: bytes) -> int:
    """Write an entry's bytes into a log, going on at its start; return the position behind them."""
    for at in range(0, len(data), SECTOR):
        place = (position + at) % len(log)
        log[place : place + SECTOR] = data[at : at + SECTOR]
    return (position + len(data)) % len(log)


def write_log(entries: Sequence[Entry], *, start: int = 0, size: int = MIB) -> bytearray:
    """Return a log with the entries one after the other."""
    log = bytearray(size)
    position = start
    for entry in entries:
        position = lay(log, position, entry.encode(position))
    return log
