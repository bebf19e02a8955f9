"""What a VHDX file says of its disk (MS-VHDX 2.6): sizes, and where its parent is."""

import struct
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from replikera.lab.witness.errors import WitnessError
from replikera.lab.witness.layer import METADATA, MIB, Layer

_TABLE_BYTES: Final = 64 * 1024
_MAX_DISK_BYTES: Final = 64 * 1024 * 1024 * MIB
_MAX_ENTRIES: Final = 2047
_FILE_PARAMETERS: Final = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
_DISK_SIZE: Final = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
_DISK_ID: Final = UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
_LOGICAL_SECTOR_SIZE: Final = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
_PHYSICAL_SECTOR_SIZE: Final = UUID("cda348c7-445d-4471-9cc9-e9885251c556")
_PARENT_LOCATOR: Final = UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
_VHDX_PARENT: Final = UUID("b04aefb7-d19e-4a81-b789-25b8e9445913")
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


@dataclass(frozen=True, slots=True)
class Parent:
    """The way to the parent, relative to the file, and the DataWriteGuids that it may have."""

    relative_path: str
    linkages: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Metadata:
    """Sizes in bytes. `parent` is None but for a differencing disk."""

    size: int
    block_size: int
    sector: int
    parent: Parent | None


def read_metadata(layer: Layer) -> Metadata:
    """Return what a file says of its disk. Raises `WitnessError`."""
    items = _items(layer)
    parameters = _number(layer, items, _FILE_PARAMETERS, 8)
    block_size, has_parent = parameters & 0xFFFFFFFF, bool(parameters >> 32 & 2)
    size = _number(layer, items, _DISK_SIZE, 8)
    sector = _number(layer, items, _LOGICAL_SECTOR_SIZE, 4)
    if sector not in {512, 4096} or size % sector or not 0 < size <= _MAX_DISK_BYTES:
        raise WitnessError(layer.path, f"a disk of {size} bytes in sectors of {sector}")
    if not MIB <= block_size <= 256 * MIB or block_size & (block_size - 1):
        raise WitnessError(layer.path, f"a block size of {block_size}")
    parent = _parent(layer, items.get(_PARENT_LOCATOR, b"")) if has_parent else None
    return Metadata(size, block_size, sector, parent)


def _items(layer: Layer) -> dict[UUID, bytes]:
    region = layer.regions[METADATA]
    table = layer.read(_TABLE_BYTES, region.offset)
    if len(table) != _TABLE_BYTES or table[:8] != b"metadata":
        raise WitnessError(layer.path, "its metadata table is not one")
    count = int.from_bytes(table[10:12], "little")
    if count > _MAX_ENTRIES:
        raise WitnessError(layer.path, f"{count} metadata items")
    items: dict[UUID, bytes] = {}
    for position in range(32, 32 + 32 * count, 32):
        name = UUID(bytes_le=table[position : position + 16])
        offset, length, flags = struct.unpack_from("<III", table, position + 16)
        if flags & 1:
            continue  # an item of a user
        if name in _KNOWN_ITEMS:
            if offset < _TABLE_BYTES or offset + length > region.length or length > MIB:
                raise WitnessError(layer.path, f"metadata item {name} is out of bounds")
            items[name] = layer.read(length, region.offset + offset)
        elif flags & 4:
            raise WitnessError(layer.path, f"unknown required metadata item {name}")
    return items


def _number(layer: Layer, items: dict[UUID, bytes], name: UUID, length: int) -> int:
    data = items.get(name, b"")
    if len(data) < length:
        raise WitnessError(layer.path, f"metadata item {name} is missing or too short")
    return int.from_bytes(data[:length], "little")


def _parent(layer: Layer, item: bytes) -> Parent:
    if len(item) < 20 or UUID(bytes_le=item[:16]) != _VHDX_PARENT:
        raise WitnessError(layer.path, "it has a parent, and does not say where")
    (count,) = struct.unpack_from("<H", item, 18)
    told: dict[str, str] = {}
    for place in range(20, min(20 + 12 * count, len(item) - 11), 12):
        key, value, key_length, value_length = struct.unpack_from("<IIHH", item, place)
        told[_text(item, key, key_length)] = _text(item, value, value_length)
    if "relative_path" not in told:
        raise WitnessError(layer.path, "it does not say where its parent is, seen from the file")
    linkages = (told.get(key) for key in ("parent_linkage", "parent_linkage2"))
    return Parent(told["relative_path"], frozenset(_guid(layer, text) for text in linkages if text))


def _text(item: bytes, offset: int, length: int) -> str:
    return item[offset : offset + length].decode("utf-16-le", errors="replace")


def _guid(layer: Layer, text: str) -> bytes:
    try:
        return UUID(text).bytes_le
    except ValueError:
        raise WitnessError(layer.path, f"its parent is to be {text!r}") from None
