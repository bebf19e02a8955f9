"""The witness: a second, tiny reader of VHDX files that digests what a guest would see.

It exists to contradict `replikera.vhdx`, so it shares no code with it: everything below comes from the format's
specification alone. It reads fixed and dynamic files with a clean log and refuses all others by name.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

import google_crc32c

from replikera.ports.files import File, Files

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
_HEADER_OFFSETS: Final = (64 * _KIB, 128 * _KIB)
_REGION_TABLE_OFFSETS: Final = (192 * _KIB, 256 * _KIB)
_TABLE_BYTES: Final = 64 * _KIB
_MAX_BLOCK_TABLE_BYTES: Final = 513 * _MIB
_MAX_DISK_BYTES: Final = 64 * 1024 * 1024 * _MIB
_PIECE: Final = _MIB  # stays in the processor's cache between the read and the digest
_ZEROS: Final = memoryview(bytes(_PIECE))

_BLOCK_TABLE: Final = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
_METADATA: Final = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_FILE_PARAMETERS: Final = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
_DISK_SIZE: Final = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
_DISK_ID: Final = UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
_LOGICAL_SECTOR_SIZE: Final = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
_PHYSICAL_SECTOR_SIZE: Final = UUID("cda348c7-445d-4471-9cc9-e9885251c556")
_PARENT_LOCATOR: Final = UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
_KNOWN_ITEMS: Final = frozenset(
    (
        _FILE_PARAMETERS,
        _DISK_SIZE,
        _DISK_ID,
        _LOGICAL_SECTOR_SIZE,
        _PHYSICAL_SECTOR_SIZE,
        _PARENT_LOCATOR,
    )
)

_ZERO_STATES: Final = frozenset((0, 1, 2, 3))  # not present, undefined, zero, unmapped
_FULLY_PRESENT: Final = 6


class WitnessError(ValueError):
    """The file is not one that the witness can vouch for."""

    def __init__(self, path: Path, problem: str) -> None:
        self.cause = f"{path}: {problem}"
        self.remedy = (
            "The lab reads fixed and dynamic VHDX files that were closed cleanly; "
            "convert or repair the disk with its hypervisor"
        )
        super().__init__(f"{self.cause}. {self.remedy}.")


class _Region(NamedTuple):
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk as its guest sees it: `blocks` has the file offset of every payload block, 0 where it is zeros."""

    size: int
    block_size: int
    blocks: tuple[int, ...]

    def runs(self) -> Iterator[tuple[int, int]]:
        """Yield (file offset, length) over the whole disk in order; offset 0 stands for zeros."""
        left = self.size
        zeros = 0
        for offset in self.blocks:
            length = min(self.block_size, left)
            left -= length
            if offset == 0:
                zeros += length
                continue
            if zeros:
                yield 0, zeros
                zeros = 0
            yield offset, length
        if zeros:
            yield 0, zeros


def digest(files: Files, path: Path) -> str:
    """Return the SHA-256 of the whole guest-visible disk, in hex. Raises `WitnessError`."""
    with files.open_read(path) as file:
        return _digest(file, read_disk(file))


def read_disk(file: File) -> Disk:
    """Return the disk that the file holds. Raises `WitnessError`."""
    if file.read(8, 0) != b"vhdxfile":
        raise WitnessError(file.path, "no VHDX signature at its beginning")
    _check_header(file)
    regions = _regions(file)
    items = _metadata(file, regions[_METADATA])
    return _disk(file, items, regions[_BLOCK_TABLE])


def _digest(file: File, disk: Disk) -> str:
    total = hashlib.sha256()
    buffer = memoryview(bytearray(_PIECE))
    for offset, length in disk.runs():
        for start in range(0, length, _PIECE):
            size = min(_PIECE, length - start)
            if offset == 0:
                total.update(_ZEROS[:size])
                continue
            if file.read_into(buffer[:size], offset + start) != size:
                raise WitnessError(file.path, f"cut off inside the block at {offset}")
            total.update(buffer[:size])
    return total.hexdigest()


def _has_checksum(data: bytes) -> bool:
    """Tell whether bytes 4 to 8 hold the CRC-32C of the whole with those bytes zero."""
    if len(data) < 8:
        return False
    expected: int = google_crc32c.value(data[:4] + bytes(4) + data[8:])
    return expected == int.from_bytes(data[4:8], "little")


def _check_header(file: File) -> None:
    newest: tuple[int, bytes] | None = None
    for offset in _HEADER_OFFSETS:
        data = file.read(4 * _KIB, offset)
        if data[:4] == b"head" and len(data) == 4 * _KIB and _has_checksum(data):
            sequence = int.from_bytes(data[8:16], "little")
            if newest is None or sequence > newest[0]:
                newest = sequence, data
    if newest is None:
        raise WitnessError(file.path, "neither of its two headers is valid")
    data = newest[1]
    log_version, version = struct.unpack_from("<HH", data, 64)
    if (log_version, version) != (0, 1):
        raise WitnessError(file.path, f"format version {version}, log version {log_version}")
    if data[48:64] != bytes(16):
        raise WitnessError(file.path, "its log holds changes that were never applied")


def _regions(file: File) -> dict[UUID, _Region]:
    for offset in _REGION_TABLE_OFFSETS:
        data = file.read(_TABLE_BYTES, offset)
        if data[:4] == b"regi" and len(data) == _TABLE_BYTES and _has_checksum(data):
            return _parse_regions(file, data)
    raise WitnessError(file.path, "neither of its two region tables is valid")


def _parse_regions(file: File, data: bytes) -> dict[UUID, _Region]:
    count = int.from_bytes(data[8:12], "little")
    if count > 2047:
        raise WitnessError(file.path, f"{count} regions")
    regions: dict[UUID, _Region] = {}
    for position in range(16, 16 + 32 * count, 32):
        name = UUID(bytes_le=data[position : position + 16])
        offset, length, required = struct.unpack_from("<QII", data, position + 16)
        if name in {_BLOCK_TABLE, _METADATA}:
            if offset < _MIB or offset % _MIB or offset + length > file.size():
                raise WitnessError(file.path, f"region {name} at {offset} is out of bounds")
            regions[name] = _Region(offset, length)
        elif required & 1:
            raise WitnessError(file.path, f"unknown required region {name}")
    if len(regions) != 2:
        raise WitnessError(file.path, "its block table or its metadata is missing")
    return regions


def _metadata(file: File, region: _Region) -> dict[UUID, bytes]:
    table = file.read(_TABLE_BYTES, region.offset)
    if len(table) != _TABLE_BYTES or table[:8] != b"metadata":
        raise WitnessError(file.path, "its metadata table is not one")
    count = int.from_bytes(table[10:12], "little")
    if count > 2047:
        raise WitnessError(file.path, f"{count} metadata items")
    items: dict[UUID, bytes] = {}
    for position in range(32, 32 + 32 * count, 32):
        name = UUID(bytes_le=table[position : position + 16])
        offset, length, flags = struct.unpack_from("<III", table, position + 16)
        if name in _KNOWN_ITEMS:
            if offset < _TABLE_BYTES or offset + length > region.length or length > _MIB:
                raise WitnessError(file.path, f"metadata item {name} is out of bounds")
            items[name] = file.read(length, region.offset + offset)
        elif flags & 4:
            raise WitnessError(file.path, f"unknown required metadata item {name}")
    return items


def _number(file: File, items: dict[UUID, bytes], name: UUID, length: int) -> int:
    data = items.get(name, b"")
    if len(data) < length:
        raise WitnessError(file.path, f"metadata item {name} is missing or too short")
    return int.from_bytes(data[:length], "little")


def _disk(file: File, items: dict[UUID, bytes], region: _Region) -> Disk:
    parameters = _number(file, items, _FILE_PARAMETERS, 8)
    block_size = parameters & 0xFFFFFFFF
    if parameters >> 32 & 2 or _PARENT_LOCATOR in items:
        raise WitnessError(file.path, "a differencing disk, whose content is partly in its parent")
    size = _number(file, items, _DISK_SIZE, 8)
    sector = _number(file, items, _LOGICAL_SECTOR_SIZE, 4)
    if sector not in {512, 4096} or size % sector or not 0 < size <= _MAX_DISK_BYTES:
        raise WitnessError(file.path, f"a disk of {size} bytes in sectors of {sector}")
    if not _MIB <= block_size <= 256 * _MIB or block_size & (block_size - 1):
        raise WitnessError(file.path, f"a block size of {block_size}")
    blocks = _blocks(file, region, -(-size // block_size), (sector << 23) // block_size)
    return Disk(size, block_size, _checked(file, blocks, size, block_size))


def _blocks(file: File, region: _Region, count: int, ratio: int) -> list[int]:
    """Return the file offsets of all payload blocks: every `ratio` of them a sector-bitmap entry comes between."""
    length = 8 * (count + (count - 1) // ratio)
    if length > min(region.length, _MAX_BLOCK_TABLE_BYTES):
        raise WitnessError(file.path, f"its block table is too short for {count} blocks")
    table = file.read(length, region.offset)
    if len(table) != length:
        raise WitnessError(file.path, "its block table is cut off")
    offsets = []
    for index, (entry,) in enumerate(struct.iter_unpack("<Q", table)):
        if index % (ratio + 1) == ratio:
            continue
        state = entry & 7
        if state in _ZERO_STATES:
            offsets.append(0)
        elif state == _FULLY_PRESENT and entry >= _MIB:
            offsets.append(entry & ~0xFFFFF)
        else:
            raise WitnessError(file.path, f"block {len(offsets)} has the table entry {entry:#x}")
    return offsets


def _checked(file: File, blocks: list[int], size: int, block_size: int) -> tuple[int, ...]:
    present = sorted(offset for offset in blocks if offset)
    if any(second - first < block_size for first, second in pairwise(present)):
        raise WitnessError(file.path, "two of its blocks share bytes of the file")
    end = file.size()
    for index, offset in enumerate(blocks):
        if offset and offset + min(block_size, size - index * block_size) > end:
            raise WitnessError(
                file.path, f"block {index} at {offset} is beyond the end of the file"
            )
    return tuple(blocks)
