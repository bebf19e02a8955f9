"""The log of a VHDX file (MS-VHDX 2.3): the newest sequence of entries that is whole, as pages to lay over the file."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from replikera.lab.witness.checksum import has_checksum
from replikera.lab.witness.errors import WitnessError

_SECTOR = 4096
_ENTRY = struct.Struct("<4sIIIQIIQQQQ")
_ENTRY_BYTES = 64
_DESCRIPTOR = struct.Struct("<4s4s8sQQ")


@dataclass(frozen=True, slots=True)
class Patch:
    """What a part of the file holds once the log is applied; None as content is zeros."""

    offset: int
    length: int
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Replay:
    """What the active sequence of a log changes, in its order, and the least size of the file after it, in bytes."""

    patches: tuple[Patch, ...] = ()
    least_size: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    place: int
    length: int
    tail: int
    sequence: int
    flushed_size: int
    last_size: int
    patches: tuple[Patch, ...]


def replay(path: Path, log: bytes, log_id: bytes, file_size: int) -> Replay:
    """Return what the active sequence of a log does. Raises `WitnessError` where there is none, or the file is cut."""
    best: list[_Entry] = []
    for place in range(0, len(log), _SECTOR):
        found = _sequence_at(log, log_id, place)
        if found and (not best or found[-1].sequence > best[-1].sequence):
            best = found
    if not best:
        raise WitnessError(
            path, "its log has changes that were never applied, and none that is whole"
        )
    newest = best[-1]
    if newest.flushed_size > file_size:
        raise WitnessError(
            path, f"it is cut off: its log knows it with {newest.flushed_size} bytes"
        )
    return Replay(tuple(patch for entry in best for patch in entry.patches), newest.last_size)


def _sequence_at(log: bytes, log_id: bytes, place: int) -> list[_Entry]:
    """Return the entries from the tail that the last of a run names; nothing where that is not one of them."""
    run = list(_run(log, log_id, place))
    places = [entry.place for entry in run]
    if not run or run[-1].tail not in places:
        return []
    return run[places.index(run[-1].tail) :]


def _run(log: bytes, log_id: bytes, place: int) -> Iterator[_Entry]:
    before: int | None = None
    seen: set[int] = set()
    while place not in seen:
        seen.add(place)
        entry = _entry_at(log, log_id, place)
        if entry is None or (before is not None and entry.sequence != before + 1):
            return
        yield entry
        before, place = entry.sequence, (place + entry.length) % len(log)


def _entry_at(log: bytes, log_id: bytes, place: int) -> _Entry | None:
    """Return the entry at a place of the log, None where there is no whole one (2.3.1)."""
    if log[place : place + 4] != b"loge":
        return None
    fields = _ENTRY.unpack(_wrapped(log, place, _ENTRY_BYTES)[: _ENTRY.size])
    length, tail, sequence, count = fields[2:6]
    if not _SECTOR <= length <= len(log) or length % _SECTOR or tail % _SECTOR or not sequence:
        return None
    data = _wrapped(log, place, length)
    if data[32:48] != log_id or not has_checksum(data):
        return None
    patches = _patches(data, count, sequence)
    if patches is None:
        return None
    return _Entry(place, length, tail, sequence, fields[9], fields[10], patches)


def _patches(data: bytes, count: int, sequence: int) -> tuple[Patch, ...] | None:
    page = -(-(_ENTRY_BYTES + 32 * count) // _SECTOR) * _SECTOR
    if page > len(data):
        return None
    found = []
    for place in range(_ENTRY_BYTES, _ENTRY_BYTES + 32 * count, 32):
        signature, trailing, leading, offset, own = _DESCRIPTOR.unpack_from(data, place)
        if own != sequence or offset % _SECTOR:
            return None
        if signature == b"zero":
            length = int.from_bytes(leading, "little")
            if length % _SECTOR:
                return None
            found.append(Patch(offset, length, None))
            continue
        content = _page(data[page : page + _SECTOR], sequence, leading, trailing)
        if signature != b"desc" or content is None:
            return None
        found.append(Patch(offset, _SECTOR, content))
        page += _SECTOR
    return tuple(found)


def _page(sector: bytes, sequence: int, leading: bytes, trailing: bytes) -> bytes | None:
    """Return the page that a data sector stands for: its first 8 and last 4 bytes are in the descriptor (2.3.1.3)."""
    high, low = (sequence >> 32).to_bytes(4, "little"), sequence.to_bytes(8, "little")[:4]
    if len(sector) != _SECTOR or sector[:8] != b"data" + high or sector[-4:] != low:
        return None
    return leading + sector[8:-4] + trailing


def _wrapped(log: bytes, place: int, length: int) -> bytes:
    """Return bytes of the ring."""
    return (log[place : place + length] + log[: max(0, place + length - len(log))])[:length]
