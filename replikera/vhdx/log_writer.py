"""Changing tables through the log (MS-VHDX 2.3): each commit happens whole or not at all.

A commit is one entry. It is durable before its pages are written to their places; when the next commit begins, the
caller has made those durable too, so no entry but the newest is ever needed. An entry never lies over the one before
it: torn half-way, it leaves the log with a valid sequence.
"""

from collections.abc import Sequence
from uuid import UUID

from replikera.ports.files import File
from replikera.ports.randomness import Randomness
from replikera.vhdx import layout
from replikera.vhdx.errors import UNSUPPORTED, VhdxError
from replikera.vhdx.headers import Headers
from replikera.vhdx.log import Log, PageChange

_SECTOR = layout.LOG_SECTOR_SIZE
MAX_PAGES = 100
"""Pages of one commit: two entries of that many fit into the smallest log, 1 MiB."""


class LogWriter:
    """The log of one file that is open for writing. Closed, it is empty, and the file is whole without it."""

    def __init__(self, file: File, headers: Headers, randomness: Randomness) -> None:
        self._file = file
        self._headers = headers
        self._randomness = randomness
        self._sequence_number = 0
        self._position = 0

    @property
    def is_open(self) -> bool:
        """Tell whether the file needs its log."""
        return self._headers.current.log_id != layout.NIL

    def commit(self, pages: Sequence[tuple[int, bytes]], file_size: int) -> None:
        """Put pages of 4 KiB, by offset, in their places; durable from the moment the entry is.

        The file has `file_size` bytes, durably, and so is everything that the pages refer to.
        """
        if len(pages) > MAX_PAGES:
            raise AssertionError(f"{len(pages)} pages in one commit")
        if not self.is_open:
            self._open(file_size)
        self._append(pages, file_size)
        for offset, data in pages:
            self._file.write(data, offset)

    def close(self) -> None:
        """Say that the log is empty. What was committed is durable in its places."""
        if self.is_open:
            self._headers.change(log_id=layout.NIL)

    def _open(self, file_size: int) -> None:
        """Begin a log with an empty entry: a header that names a log without a valid entry is a damaged file."""
        header = self._headers.current
        if not header.log_length:
            problem = "it has no log, without which its tables cannot be changed safely"
            raise VhdxError(self._file.path, problem, UNSUPPORTED)
        self._sequence_number = self._position = 0
        log_id = UUID(self._randomness.uuid())
        self._append((), file_size, log_id)
        self._headers.change(log_id=log_id)

    def _append(
        self, pages: Sequence[tuple[int, bytes]], file_size: int, log_id: UUID | None = None
    ) -> None:
        header = self._headers.current
        self._sequence_number += 1
        data = _encode(
            pages,
            position=self._position,
            sequence_number=self._sequence_number,
            log_id=log_id or header.log_id,
            file_size=file_size,
        )
        room = header.log_length - self._position
        self._file.write(data[:room], header.log_offset + self._position)
        if len(data) > room:
            self._file.write(data[room:], header.log_offset)
        self._file.sync()
        self._position = (self._position + len(data)) % header.log_length


def replay_into(file: File, headers: Headers, randomness: Randomness) -> None:
    """Write the changes of the file's log into the file, durably, and say that the log is empty.

    Raises `VhdxError`, and then has changed nothing.
    """
    log = Log(file, headers.current)
    for _ in log.changes():
        pass  # all of them are checked before the first is made
    headers.change(file_write_id=UUID(randomness.uuid()))  # 2.2.2: a replay changes the file, too
    if log.file_size > file.size():
        file.truncate(log.file_size)
    for change in log.changes():
        if isinstance(change, PageChange):
            file.write(change.data, change.offset)
        else:
            file.zero(change.offset, change.length)
    file.sync()
    headers.change(log_id=layout.NIL)


def _encode(
    pages: Sequence[tuple[int, bytes]],
    *,
    position: int,
    sequence_number: int,
    log_id: UUID,
    file_size: int,
) -> bytes:
    descriptors = b"".join(
        layout.LOG_DATA_DESCRIPTOR.pack(
            layout.LOG_DATA_DESCRIPTOR_SIGNATURE, data[-4:], data[:8], offset, sequence_number
        )
        for offset, data in pages
    )
    used = layout.LOG_ENTRY_HEADER.size + len(descriptors)
    head_size = -(-used // _SECTOR) * _SECTOR
    header = layout.LOG_ENTRY_HEADER.pack(
        layout.LOG_ENTRY_SIGNATURE,
        0,
        head_size + _SECTOR * len(pages),
        position,  # its own tail: all entries before it have been applied
        sequence_number,
        len(pages),
        0,
        log_id.bytes_le,
        file_size,
        file_size,
    )
    sectors = b"".join(
        layout.LOG_DATA_SECTOR.pack(
            layout.LOG_DATA_SECTOR_SIGNATURE,
            sequence_number >> 32,
            data[8:-4],
            sequence_number & 0xFFFFFFFF,
        )
        for _, data in pages
    )
    return layout.with_checksum((header + descriptors).ljust(head_size, b"\0") + sectors)
