"""Small valid VHDX files, and bytes that spoil them: what the fuzzer turns its input into.

Input: which files (1 byte), options (1 byte), then patches of 4 bytes and a value each. A patch names a place that
matters rather than an offset, and checksums are made right again, so that the fuzzer gets past them.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import google_crc32c
import numpy as np

from tests.unit.replikera.vhdx import foreign_file, foreign_log
from tests.unit.replikera.vhdx.foreign_chain import Block, child, child_items
from tests.unit.replikera.vhdx.foreign_file import MIB, entry

LEAVE_CHECKSUMS, WRITE, GROW = 1, 2, 4
"""Options: leave checksums as the patches make them; write to the disk; make it larger while that is done."""

_SECTOR = 4096
_VALUES = (0, 1, 7, 511, 4095, 65536, 2**31, 2**32 - 1, 2**46, 2**47, 2**63 - 1, 2**63, 2**64 - 1)


@dataclass(frozen=True)
class Place:
    """`count` units of a file that a patch may begin at."""

    file: str
    offset: int
    unit: int
    count: int


@dataclass(frozen=True)
class World:
    """Files by name; `leaf` is the one that is opened."""

    files: dict[str, bytes]
    leaf: str
    places: tuple[Place, ...]


@dataclass
class Case:
    """What one input means."""

    leaf: str
    options: int
    seed: int
    files: dict[str, bytearray] = field(default_factory=dict)


def build_case(data: bytes) -> Case:
    """Return the files that an input stands for."""
    head = data[:2].ljust(2, b"\0")
    world = worlds()[head[0] % len(worlds())]
    case = Case(world.leaf, head[1], google_crc32c.value(data))
    case.files = {name: bytearray(content) for name, content in world.files.items()}
    for place, unit, value in _patches(data[2:], world):
        content = case.files[place.file]
        if place.unit == 0:
            del content[unit * _SECTOR :]
            continue
        at = place.offset + unit % place.count * place.unit
        if at + len(value) <= len(content):
            content[at : at + len(value)] = value
    if not case.options & LEAVE_CHECKSUMS:
        for content in case.files.values():
            _make_checksums_right(content)
    return case


def _patches(data: bytes, world: World) -> Iterator[tuple[Place, int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        number, unit, form = struct.unpack_from("<BHB", data, at)
        raw = data[at + 4 : at + 12].ljust(8, b"\0")
        size, value = _value(form, raw)
        at += 4 + size
        yield world.places[number % len(world.places)], unit, value


def _value(form: int, raw: bytes) -> tuple[int, bytes]:
    """Return how many bytes of the input a value takes, and the value."""
    match form % 8:
        case 0 | 1 | 2 | 3 as size:
            return 1 << size, raw[: 1 << size]
        case 4:  # an entry of the block table
            return 2, struct.pack("<Q", raw[0] << 20 | raw[1] % 8)
        case 5:
            return 1, struct.pack("<Q", raw[0] * MIB)
        case 6:
            return 1, struct.pack("<I", raw[0] * MIB)
        case _:
            return 1, struct.pack("<Q", _VALUES[raw[0] % len(_VALUES)])


def _make_checksums_right(content: bytearray) -> None:
    for offset in foreign_file.HEADERS:
        _seal(content, offset, 4096, b"head")
    for offset in foreign_file.REGION_TABLES:
        _seal(content, offset, 64 << 10, b"regi")
    log = bytes(content[MIB : 2 * MIB])
    for at in range(0, len(log), _SECTOR):
        if log[at : at + 4] == b"loge":
            (length,) = struct.unpack_from("<I", log, at + 8)
            if 0 < length <= len(log):
                entry_bytes = (log[at:] + log[:at])[:length]
                blank = entry_bytes[:4] + bytes(4) + entry_bytes[8:]
                struct.pack_into("<I", content, MIB + at + 4, google_crc32c.value(blank))


def _seal(content: bytearray, offset: int, size: int, signature: bytes) -> None:
    structure = bytes(content[offset : offset + size])
    if len(structure) == size and structure[:4] == signature:
        content[offset : offset + size] = foreign_file.sealed(structure)


@cache
def worlds() -> tuple[World, ...]:
    """Return the files that the fuzzer begins with."""
    return (_dynamic(), _large_sectors(), _cut_off(), _chain(), _dirty(), _wrapped())


def _payload(mib: int, tag: int) -> bytes:
    """Return bytes that tell where they are from."""
    words = np.arange(mib * MIB // 8, dtype=np.uint64) | np.uint64(tag << 56)
    return words.tobytes()


def _structures(name: str) -> tuple[Place, ...]:
    return (
        Place(name, 0, 1, 16),
        *(Place(name, offset, 4, 20) for offset in foreign_file.HEADERS),
        *(Place(name, offset, 4, 24) for offset in foreign_file.REGION_TABLES),
        Place(name, 2 * MIB, 4, 60),
        Place(name, 2 * MIB + (64 << 10), 2, 200),
        Place(name, 3 * MIB, 8, 6),
        Place(name, 3 * MIB, 8, 6),
        Place(name, 3 * MIB + 8 * 4095, 8, 3),
        Place(name, 0, 0, 0),  # truncation
    )


def _log_places(name: str, at: int) -> tuple[Place, ...]:
    return (
        Place(name, MIB + at, 4, 16),
        Place(name, MIB + at + 64, 4, 24),
        Place(name, MIB + at + _SECTOR, 4, 1024),
    )


def _dynamic() -> World:
    data = foreign_file.build(
        entries={0: entry(6, 5), 1: entry(2), 2: entry(6, 4), 3: entry(3)}, file_mib=4
    )
    return World({"disk.vhdx": bytes(data) + _payload(2, 1)}, "disk.vhdx", _structures("disk.vhdx"))


def _large_sectors() -> World:
    content = foreign_file.items(size=5 * MIB + 4096, block_size=2 * MIB, sectors=(4096, 4096))
    data = foreign_file.build(content=content, entries={1: entry(6, 4), 2: entry(1)}, file_mib=4)
    return World({"disk.vhdx": bytes(data) + _payload(2, 1)}, "disk.vhdx", _structures("disk.vhdx"))


def _cut_off() -> World:
    """Return a fixed file whose last block is not whole, headers and regions in another order."""
    data = foreign_file.build(
        content=foreign_file.items(size=MIB + 1536, flags=1),
        headers=(foreign_file.header(9), foreign_file.header(8)),
        entries={0: entry(6, 4), 1: entry(6, 5)},
        file_mib=4,
    )
    content = bytes(data) + _payload(2, 1)
    return World({"disk.vhdx": content[: 5 * MIB + 1536]}, "disk.vhdx", _structures("disk.vhdx"))


def _chain() -> World:
    parent = foreign_file.build(
        content=foreign_file.items(size=3 * MIB),
        entries={0: entry(6, 4), 1: entry(6, 5)},
        file_mib=4,
    )
    some = frozenset(range(0, 2048, 3))
    blocks = {0: Block(7, _payload(1, 2), some), 2: Block(6, _payload(1, 3)), 3: Block(2)}
    files = {
        "child.vhdx": bytes(child(blocks, content=child_items())),
        "parent.vhdx": bytes(parent) + _payload(2, 1),
    }
    bits = Place("child.vhdx", 4 * MIB, 1, 512)
    places = (*_structures("child.vhdx"), bits, *_structures("parent.vhdx"))
    return World(files, "child.vhdx", places)


def _with_log(log: bytes) -> bytes:
    headers = (foreign_file.header(7), foreign_file.header(8, log_id=foreign_log.LOG_ID))
    data = foreign_file.build(headers=headers, entries={0: entry(6, 4)}, file_mib=4)
    data[MIB : 2 * MIB] = log
    return bytes(data)


def _table(*entries: int) -> foreign_log.Page:
    return foreign_log.Page(3 * MIB, struct.pack(f"<{len(entries)}Q", *entries).ljust(4096, b"\0"))


def _dirty() -> World:
    entries = [
        foreign_log.Entry(5, [_table(entry(6, 5), entry(6, 4))], tail=0),
        foreign_log.Entry(
            6, [foreign_log.Zeros(5 * MIB + 8192, 4096), _table(entry(6, 5), entry(6, 6))], tail=0
        ),
    ]
    data = _with_log(bytes(foreign_log.write_log(entries))) + _payload(3, 1)
    places = (
        *_structures("disk.vhdx"),
        *_log_places("disk.vhdx", 0),
        *_log_places("disk.vhdx", 2 * _SECTOR),
    )
    return World({"disk.vhdx": data}, "disk.vhdx", places)


def _wrapped() -> World:
    """Return a file whose log goes on at its start, with an older sequence in its middle."""
    start = MIB - 3 * _SECTOR
    log = foreign_log.write_log([foreign_log.Entry(3, [_table(entry(2))])], start=100 * _SECTOR)
    position = start
    for sequence, place in ((2**32 - 1, 4), (2**32, 5), (2**32 + 1, 6)):
        page = _table(entry(6, place), entry(3))
        encoded = foreign_log.Entry(
            sequence, [page], tail=start, flushed=6 * MIB, last=8 * MIB
        ).encode(position)
        position = foreign_log.lay(log, position, encoded)
    places = (
        *_structures("disk.vhdx"),
        *_log_places("disk.vhdx", start),
        *_log_places("disk.vhdx", _SECTOR),
        Place("disk.vhdx", MIB + 100 * _SECTOR, 4, 24),
    )
    return World({"disk.vhdx": _with_log(bytes(log)) + _payload(3, 1)}, "disk.vhdx", places)
