"""The log (MS-VHDX 2.3): which entries count, and what they change.

Nothing here writes. The active sequence is the newest run of valid entries whose newest one says that the run is
whole; its changes, in order, are what the file's metadata lack.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import google_crc32c
import numpy as np

from replikera.ports.files import File
from replikera.vhdx import layout
from replikera.vhdx.errors import DAMAGED, UNSUPPORTED, VhdxError
from replikera.vhdx.headers import Header

MAX_LOG_SIZE = 64 * layout.MIB
"""Windows and QEMU make logs of 1 MiB; a log is held in memory while it is searched."""

_MAX_CHECKED = 16
"""How many times the log's size is judged: stale entries overlap newer ones, but not so often."""

_DESCRIPTOR_COST = 256
"""Judging a descriptor takes as long as the checksum of so many bytes."""

_SECTOR = layout.LOG_SECTOR_SIZE


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One valid entry: `position` in the log, and where its sequence begins (`tail`)."""

    position: int
    length: int
    tail: int
    sequence_number: int
    descriptor_count: int
    flushed_file_size: int
    last_file_size: int


@dataclass(frozen=True, slots=True)
class PageChange:
    """A page of 4 KiB with its new content."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class ZeroChange:
    """A range that becomes zeros."""

    offset: int
    length: int


Change = PageChange | ZeroChange


class Log:
    """The log of one file as it was read; `entries` is its active sequence, oldest first."""

    def __init__(self, file: File, header: Header) -> None:
        """Read the log and find the active sequence. Raises `VhdxError`."""
        self._file = file
        self._region = (header.log_offset, header.log_offset + header.log_length)
        self._data = _read(file, header)
        self._search = _Search(file, self._data, header.log_id)
        self.entries = self._search.active_sequence()
        newest = self.entries[-1]
        if file.size() < newest.flushed_file_size:
            problem = (
                f"it has {file.size()} bytes, and its log says {newest.flushed_file_size}:"
                " it is truncated"
            )
            raise VhdxError(file.path, problem, DAMAGED)
        if newest.last_file_size > layout.MAX_FILE_SIZE:
            problem = f"its log says that it has {newest.last_file_size} bytes"
            raise VhdxError(file.path, problem, DAMAGED)
        self.file_size = max(file.size(), newest.last_file_size)
        """The bytes that the file has when the log has been replayed."""

    def changes(self) -> Iterator[Change]:
        """Yield what the entries change, in order. Raises `VhdxError` for what no log may change."""
        for entry in self.entries:
            yield from self._changes_of(entry)

    def _changes_of(self, entry: LogEntry) -> Iterator[Change]:
        data = _wrapped(self._data, entry.position, entry.length)
        sector = _descriptor_bytes(entry.descriptor_count)
        for index in range(entry.descriptor_count):
            at = layout.LOG_ENTRY_HEADER.size + index * layout.LOG_DESCRIPTOR_SIZE
            if data[at : at + 4] == layout.LOG_ZERO_DESCRIPTOR_SIGNATURE:
                _, _, length, offset, _ = layout.LOG_ZERO_DESCRIPTOR.unpack_from(data, at)
                self._check_place(offset, length)
                yield ZeroChange(offset, length)
            else:
                _, trailing, leading, offset, _ = layout.LOG_DATA_DESCRIPTOR.unpack_from(data, at)
                self._check_place(offset, _SECTOR)
                middle = layout.LOG_DATA_SECTOR.unpack_from(data, sector)[2]
                sector += _SECTOR
                yield PageChange(offset, leading + middle + trailing)

    def _check_place(self, offset: int, length: int) -> None:
        start, end = self._region
        is_allowed = (
            offset >= layout.LOGGABLE_OFFSET
            and offset + length <= layout.MAX_FILE_SIZE
            and (offset + length <= start or offset >= end)
        )
        if not is_allowed:
            problem = f"its log changes {length} bytes at {offset}, where no log may"
            raise VhdxError(self._file.path, problem, DAMAGED)


def _read(file: File, header: Header) -> bytes:
    if header.log_version != layout.LOG_VERSION:
        problem = f"its log has version {header.log_version}, not 0"
        raise VhdxError(file.path, problem, UNSUPPORTED)
    if not 0 < header.log_length <= MAX_LOG_SIZE:
        problem = f"its log has {header.log_length} bytes, this reader replays up to {MAX_LOG_SIZE}"
        raise VhdxError(file.path, problem, UNSUPPORTED)
    data = file.read(header.log_length, header.log_offset)
    if len(data) != header.log_length:
        raise VhdxError(file.path, "the file ends inside its log: it is truncated", DAMAGED)
    return data


class _Search:
    """Looks for the active sequence as 2.3.3 says, each position being judged once."""

    def __init__(self, file: File, data: bytes, log_id: UUID) -> None:
        self._file = file
        self._data = data
        self._log_id = log_id
        self._judged: dict[int, LogEntry | None] = {}
        self._left = _MAX_CHECKED * len(data)

    def active_sequence(self) -> tuple[LogEntry, ...]:
        best: tuple[LogEntry, ...] = ()
        for tail in self._candidates():
            sequence = self._sequence_from(tail)
            is_whole = any(entry.position == sequence[-1].tail for entry in sequence)
            if is_whole and (not best or best[-1].sequence_number < sequence[-1].sequence_number):
                best = sequence
        if not best:
            raise VhdxError(
                self._file.path,
                "its log is not empty, and holds no valid sequence of entries: the file is damaged",
                DAMAGED,
            )
        # Entries before the one that the newest names as its tail were applied already.
        first = next(i for i, entry in enumerate(best) if entry.position == best[-1].tail)
        return best[first:]

    def _candidates(self) -> Iterator[int]:
        """Yield the positions where a sequence may begin: valid entries that no valid entry goes before."""
        words = np.frombuffer(self._data, dtype="<u4")[:: _SECTOR // 4]
        signature = np.frombuffer(layout.LOG_ENTRY_SIGNATURE, dtype="<u4")[0]
        entries = [
            entry
            for at in np.flatnonzero(words == signature).tolist()
            if (entry := self._entry(at * _SECTOR)) is not None
        ]
        followers = {(self._behind(entry), entry.sequence_number + 1) for entry in entries}
        for entry in entries:
            if (entry.position, entry.sequence_number) not in followers:
                yield entry.position

    def _sequence_from(self, tail: int) -> tuple[LogEntry, ...]:
        sequence: list[LogEntry] = []
        at, taken = tail, 0
        while taken < len(self._data):
            entry = self._entry(at)
            is_next = entry is not None and (
                not sequence or entry.sequence_number == sequence[-1].sequence_number + 1
            )
            if entry is None or not is_next:
                break
            sequence.append(entry)
            taken += entry.length
            at = self._behind(entry)
        return tuple(sequence)

    def _behind(self, entry: LogEntry) -> int:
        return (entry.position + entry.length) % len(self._data)

    def _entry(self, position: int) -> LogEntry | None:
        if position not in self._judged:
            self._judged[position] = self._judge(position)
        return self._judged[position]

    def _judge(self, position: int) -> LogEntry | None:
        """Return the entry at a position, None where none is valid."""
        (signature, checksum, length, tail, sequence, count, _, log_id, flushed, last) = (
            layout.LOG_ENTRY_HEADER.unpack_from(self._data, position)
        )
        size = len(self._data)
        is_plausible = (
            signature == layout.LOG_ENTRY_SIGNATURE
            and log_id == self._log_id.bytes_le
            and 0 < length <= size
            and length % _SECTOR == tail % _SECTOR == 0
            and tail < size
            and sequence > 0
            and _descriptor_bytes(count) <= length
        )
        if not is_plausible:
            return None
        self._left -= length + count * _DESCRIPTOR_COST
        if self._left < 0:
            problem = "its log is full of entries over each other, which no software writes"
            raise VhdxError(self._file.path, problem, DAMAGED)
        data = _wrapped(self._data, position, length)
        if google_crc32c.value(data[:4] + bytes(4) + data[8:]) != checksum:
            return None
        if not _are_sound(data, count, sequence):
            return None
        return LogEntry(position, length, tail, sequence, count, flushed, last)


def _descriptor_bytes(count: int) -> int:
    """Return the bytes of an entry's header and descriptors, in whole sectors."""
    used = layout.LOG_ENTRY_HEADER.size + count * layout.LOG_DESCRIPTOR_SIZE
    return -(-used // _SECTOR) * _SECTOR


def _wrapped(data: bytes, position: int, length: int) -> bytes:
    """Return bytes of the log, which goes on at its start."""
    end = position + length
    return data[position:end] if end <= len(data) else data[position:] + data[: end - len(data)]


def _are_sound(data: bytes, count: int, sequence: int) -> bool:
    """Tell whether descriptors and data sectors of an entry are whole and of this entry."""
    sector = _descriptor_bytes(count)
    for index in range(count):
        at = layout.LOG_ENTRY_HEADER.size + index * layout.LOG_DESCRIPTOR_SIZE
        if data[at : at + 4] == layout.LOG_ZERO_DESCRIPTOR_SIGNATURE:
            _, _, length, offset, number = layout.LOG_ZERO_DESCRIPTOR.unpack_from(data, at)
            if length % _SECTOR:
                return False
        else:
            signature, _, _, offset, number = layout.LOG_DATA_DESCRIPTOR.unpack_from(data, at)
            is_data = signature == layout.LOG_DATA_DESCRIPTOR_SIGNATURE
            if not is_data or not _is_data_sector(data, sector, sequence):
                return False
            sector += _SECTOR
        if number != sequence or offset % _SECTOR:
            return False
    return True


def _is_data_sector(data: bytes, at: int, sequence: int) -> bool:
    if at + _SECTOR > len(data):
        return False
    signature, high, _, low = layout.LOG_DATA_SECTOR.unpack_from(data, at)
    return bool(signature == layout.LOG_DATA_SECTOR_SIGNATURE and (high << 32 | low) == sequence)
