"""Records with the bytes that belong to them, unpacked and verified."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from replikera.blocks.segment import (
    Codec,
    Records,
    SegmentFormatError,
    decompress,
    record_checksum,
)
from replikera.ports.files import Buffer


class Piece(NamedTuple):
    """A range of a disk and its plain bytes; `data` is None where the range is zeros."""

    disk: int
    offset: int
    length: int
    data: memoryview | None


class PayloadCursor:
    """Reads through buffers one after the other as if they were one."""

    def __init__(self, parts: Sequence[Buffer]) -> None:
        self._parts = iter(parts)
        self._rest = memoryview(b"")

    def take(self, count: int) -> memoryview:
        """Return the next `count` bytes; a view unless they straddle two buffers."""
        self._skip_empty()
        if count <= len(self._rest):
            taken, self._rest = self._rest[:count], self._rest[count:]
            return taken
        parts = []
        while count:
            self._skip_empty()
            parts.append(self._rest[:count])
            count -= len(parts[-1])
            self._rest = self._rest[len(parts[-1]) :]
        # A copy of at most one record, where a sender cut its messages elsewhere than at records.
        return memoryview(b"".join(parts))

    def _skip_empty(self) -> None:
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return
            self._rest = memoryview(part)


def verified_pieces(records: Records, parts: Sequence[Buffer]) -> Iterator[Piece]:
    """Yield every record with its bytes. Raises `SegmentFormatError` at the first that is not what was sent."""
    if int(records["stored_length"].sum(dtype="int64")) != sum(len(part) for part in parts):
        raise SegmentFormatError("the payload has another length than its records say")
    cursor = PayloadCursor(parts)
    checksums = records["checksum"].tobytes()
    # Columns, because taking a row of a structured array apart costs more than hashing 4 KiB.
    names = ("disk", "codec", "stored_length", "offset", "length")
    columns = (records[name].tolist() for name in names)
    for number, (disk, codec, stored, offset, length) in enumerate(zip(*columns, strict=True)):
        data = cursor.take(stored)
        if codec != Codec.NONE:
            data = memoryview(decompress(Codec(codec), data, length))
        if record_checksum(disk, offset, length, data) != checksums[16 * number : 16 * number + 16]:
            raise SegmentFormatError(f"disk {disk} offset {offset}: wrong checksum")
        yield Piece(disk, offset, length, data if stored else None)
