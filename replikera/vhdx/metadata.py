"""The metadata region (MS-VHDX 2.6): what kind of disk the file holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from uuid import UUID

from replikera.ports.files import File
from replikera.vhdx import layout
from replikera.vhdx.errors import DAMAGED, UNSUPPORTED, VhdxError
from replikera.vhdx.layout import MetadataFlags
from replikera.vhdx.locator import ParentLocator, decode_locator
from replikera.vhdx.regions import Region

_ITEM_ALIGNMENT = 8
_LONGEST_CARRIED = 512 * layout.KIB
"""Of all items that a child takes over: new files have 1 MiB for metadata."""

_LONGEST_MOVED = 64 * layout.KIB
"""Of a parent locator that is written anew: a commit of the log takes it whole, and paths are far shorter."""


@dataclass(frozen=True, slots=True)
class CarriedItem:
    """An item that nobody here knows and that belongs to the disk: children have it too (2.6.1.2)."""

    item_id: UUID
    content: bytes
    flags: int


@dataclass(frozen=True, slots=True)
class Metadata:
    """The known items of a file. `parent` is None for one that stands alone.

    `carried` are unknown ones for a new file; of a file that was read they are left where they are.
    """

    block_size: int
    leaves_blocks_allocated: bool
    disk_size: int
    disk_id: UUID
    logical_sector_size: int
    physical_sector_size: int
    parent: ParentLocator | None = None
    carried: "tuple[CarriedItem, ...]" = ()

    @property
    def has_parent(self) -> bool:
        """Tell whether the file is a differencing one."""
        return self.parent is not None

    @property
    def block_count(self) -> int:
        """Return the number of payload blocks; the last may reach past the disk."""
        return -(-self.disk_size // self.block_size)

    @property
    def chunk_ratio(self) -> int:
        """Return the payload blocks per sector bitmap block (2.5)."""
        return layout.SECTORS_PER_BITMAP * self.logical_sector_size // self.block_size

    def problem(self) -> str:
        """Return what the format does not allow, empty where all is well."""
        sectors = (self.logical_sector_size, self.physical_sector_size)
        for name, size in zip(("logical", "physical"), sectors, strict=True):
            if size not in layout.SECTOR_SIZES:
                return f"the {name} sector size is {size} bytes, neither 512 nor 4096"
        if not layout.is_block_size(self.block_size):
            return f"the block size is {self.block_size} bytes, not a power of two of 1 to 256 MiB"
        if not 0 < self.disk_size <= layout.MAX_DISK_SIZE:
            return f"the virtual disk size is {self.disk_size} bytes, not 1 byte to 64 TiB"
        if self.disk_size % self.logical_sector_size:
            return f"the virtual disk size is {self.disk_size} bytes, not a whole number of sectors"
        return ""

    def encode(self) -> bytes:
        """Return the start of the region: the table, and behind it the items."""
        flags = layout.LEAVE_BLOCKS_ALLOCATED if self.leaves_blocks_allocated else 0
        flags |= layout.HAS_PARENT if self.parent is not None else 0
        size, sector = layout.UINT64_ITEM, layout.UINT32_ITEM
        disk = MetadataFlags.IS_REQUIRED | MetadataFlags.IS_VIRTUAL_DISK
        items: list[tuple[UUID, bytes, int]] = [
            (
                layout.FILE_PARAMETERS,
                layout.FILE_PARAMETERS_ITEM.pack(self.block_size, flags),
                MetadataFlags.IS_REQUIRED,
            ),
            (layout.VIRTUAL_DISK_SIZE, size.pack(self.disk_size), disk),
            (layout.LOGICAL_SECTOR_SIZE, sector.pack(self.logical_sector_size), disk),
            (layout.PHYSICAL_SECTOR_SIZE, sector.pack(self.physical_sector_size), disk),
            (layout.VIRTUAL_DISK_ID, self.disk_id.bytes_le, disk),
        ]
        if self.parent is not None:
            items.append((layout.PARENT_LOCATOR, self.parent.encode(), MetadataFlags.IS_REQUIRED))
        items += [(item.item_id, item.content, item.flags) for item in self.carried]
        table = layout.METADATA_TABLE_HEADER.pack(layout.METADATA_SIGNATURE, 0, len(items))
        content = b""
        for item_id, value, item_flags in items:
            offset = layout.METADATA_TABLE_SIZE + len(content)
            table += layout.METADATA_TABLE_ENTRY.pack(
                item_id.bytes_le, offset, len(value), item_flags, 0
            )
            content += value
        return table.ljust(layout.METADATA_TABLE_SIZE, b"\0") + content


_KNOWN: dict[UUID, tuple[str, Struct]] = {
    layout.FILE_PARAMETERS: ("file parameters", layout.FILE_PARAMETERS_ITEM),
    layout.VIRTUAL_DISK_SIZE: ("virtual disk size", layout.UINT64_ITEM),
    layout.VIRTUAL_DISK_ID: ("virtual disk id", layout.GUID_ITEM),
    layout.LOGICAL_SECTOR_SIZE: ("logical sector size", layout.UINT32_ITEM),
    layout.PHYSICAL_SECTOR_SIZE: ("physical sector size", layout.UINT32_ITEM),
}


def read_metadata(file: File, region: Region) -> Metadata:
    """Read and check the items; refuse what would be read wrong: unknown required items."""
    items = _read_items(file, region)
    values = {item_id: form.unpack(items[item_id]) for item_id, (_, form) in _KNOWN.items()}
    block_size, flags = values[layout.FILE_PARAMETERS]
    metadata = Metadata(
        block_size=block_size,
        # Ignored in a child (2.6.2.1).
        leaves_blocks_allocated=flags & (layout.LEAVE_BLOCKS_ALLOCATED | layout.HAS_PARENT)
        == layout.LEAVE_BLOCKS_ALLOCATED,
        disk_size=values[layout.VIRTUAL_DISK_SIZE][0],
        disk_id=UUID(bytes_le=values[layout.VIRTUAL_DISK_ID][0]),
        logical_sector_size=values[layout.LOGICAL_SECTOR_SIZE][0],
        physical_sector_size=values[layout.PHYSICAL_SECTOR_SIZE][0],
        parent=_parent(file, items) if flags & layout.HAS_PARENT else None,
    )
    if problem := metadata.problem():
        raise VhdxError(file.path, problem, DAMAGED)
    return metadata


@dataclass(frozen=True, slots=True)
class MetadataItem:
    """An item in the file: `entry_offset` is where the table's entry for it is, `taken` all items by (offset, length).

    Offsets but those of `taken` are in the file.
    """

    entry_offset: int
    offset: int
    flags: int
    content: bytes
    taken: tuple[tuple[int, int], ...]


def size_item_offset(file: File, region: Region) -> int:
    """Return the file offset of the item that holds the disk's size; the metadata were read before."""
    found = _find_item(file, region, layout.VIRTUAL_DISK_SIZE)
    if found is None:
        raise VhdxError(file.path, "the virtual disk size is missing from the metadata", DAMAGED)
    return found.offset


def locator_item(file: File, region: Region) -> MetadataItem | None:
    """Return the item that says where the parent is, None where there is none; the metadata were read before."""
    return _find_item(file, region, layout.PARENT_LOCATOR)


def moved_locator(item: MetadataItem, region: Region, length: int) -> tuple[int, bytes] | None:
    """Return where an item of another length fits, by file offset, and the table's entry for it there.

    In its old place where it is not longer, else behind all items. None where there is no room.
    """
    place = item.offset
    if length > len(item.content):
        end = max(offset + size for offset, size in item.taken)
        place = region.offset + -(-end // _ITEM_ALIGNMENT) * _ITEM_ALIGNMENT
    if length > _LONGEST_MOVED or place + length > region.end:
        return None
    entry = layout.METADATA_TABLE_ENTRY.pack(
        layout.PARENT_LOCATOR.bytes_le,
        place - region.offset,
        length,
        item.flags,
        0,
    )
    return place, entry


def carried_items(file: File, region: Region) -> tuple[CarriedItem, ...]:
    """Return the items that a child of this file takes over; the metadata were read before.

    Raises `VhdxError` where they are not inside the region, or more than a new file has room for.
    """
    found: list[CarriedItem] = []
    left = _LONGEST_CARRIED
    for item_id, offset, length, flags in _table(file, region):
        is_known = not flags & MetadataFlags.IS_USER and item_id in (*_KNOWN, layout.PARENT_LOCATOR)
        if is_known or not flags & MetadataFlags.IS_VIRTUAL_DISK:
            continue
        left -= length
        if left < 0 or offset + length > region.length:
            problem = f"its metadata item {item_id}, {length} bytes at {offset}, cannot be copied"
            raise VhdxError(file.path, problem, UNSUPPORTED)
        found.append(CarriedItem(item_id, file.read(length, region.offset + offset), flags))
    return tuple(found)


def _table(file: File, region: Region) -> Iterator[tuple[UUID, int, int, int]]:
    """Yield id, offset in the region, length and flags of every item."""
    table = file.read(layout.METADATA_TABLE_SIZE, region.offset)
    for index in range(layout.METADATA_TABLE_HEADER.unpack_from(table)[2]):
        position = layout.METADATA_TABLE_HEADER.size + index * layout.METADATA_TABLE_ENTRY.size
        raw, offset, length, flags, _ = layout.METADATA_TABLE_ENTRY.unpack_from(table, position)
        yield UUID(bytes_le=raw), offset, length, flags


def _find_item(file: File, region: Region, item_id: UUID) -> MetadataItem | None:
    taken: list[tuple[int, int]] = []
    found: tuple[int, int, int, int] | None = None
    for index, (each, offset, length, flags) in enumerate(_table(file, region)):
        taken.append((offset, length))
        if each == item_id and not flags & MetadataFlags.IS_USER:
            position = layout.METADATA_TABLE_HEADER.size + index * layout.METADATA_TABLE_ENTRY.size
            found = (position, offset, length, flags)
    if found is None:
        return None
    position, offset, length, flags = found
    place = region.offset + offset
    content = file.read(length, place)
    return MetadataItem(region.offset + position, place, flags, content, tuple(taken))


def _read_items(file: File, region: Region) -> dict[UUID, bytes]:
    """Return the known items by id."""
    table = file.read(min(layout.METADATA_TABLE_SIZE, region.length), region.offset)
    if len(table) != layout.METADATA_TABLE_SIZE:
        raise VhdxError(file.path, "the metadata region is too short for its table", DAMAGED)
    signature, _, count = layout.METADATA_TABLE_HEADER.unpack_from(table)
    if signature != layout.METADATA_SIGNATURE or count > layout.METADATA_MAX_ENTRIES:
        raise VhdxError(file.path, "the metadata table is not valid", DAMAGED)
    items: dict[UUID, bytes] = {}
    for index in range(count):
        position = layout.METADATA_TABLE_HEADER.size + index * layout.METADATA_TABLE_ENTRY.size
        raw, offset, length, flags, _ = layout.METADATA_TABLE_ENTRY.unpack_from(table, position)
        item_id = UUID(bytes_le=raw)
        is_known = item_id in _KNOWN or item_id == layout.PARENT_LOCATOR
        if flags & MetadataFlags.IS_USER or not is_known:
            _check_unknown(file, item_id, flags)
        elif item_id in items:
            raise VhdxError(file.path, f"the {_name(item_id)} is listed twice", DAMAGED)
        else:
            items[item_id] = _read_item(file, region, item_id, offset, length)
    for item_id, (name, _) in _KNOWN.items():
        if item_id not in items:
            raise VhdxError(file.path, f"the {name} is missing from the metadata", DAMAGED)
    return items


def _check_unknown(file: File, item_id: UUID, flags: int) -> None:
    if not flags & MetadataFlags.IS_USER and item_id == layout.INCOMPLETE_FILE:
        raise VhdxError(
            file.path,
            "it is marked incomplete: the conversion or copy that made it did not end",
            "Repeat the conversion or copy, and use its result.",
        )
    if flags & MetadataFlags.IS_REQUIRED:
        raise VhdxError(
            file.path,
            f"metadata item {item_id} is required, and this reader does not know it",
            UNSUPPORTED,
        )


def _read_item(file: File, region: Region, item_id: UUID, offset: int, length: int) -> bytes:
    is_sized = (
        length == _KNOWN[item_id][1].size
        if item_id in _KNOWN
        else 0 < length <= layout.MAX_ITEM_SIZE
    )
    if not is_sized or not layout.METADATA_TABLE_SIZE <= offset <= region.length - length:
        raise VhdxError(
            file.path,
            f"the {_name(item_id)} in the metadata, {length} bytes at {offset}, is not where or what"
            " it must be",
            DAMAGED,
        )
    return file.read(length, region.offset + offset)


def _name(item_id: UUID) -> str:
    return _KNOWN[item_id][0] if item_id in _KNOWN else "parent locator"


def _parent(file: File, items: dict[UUID, bytes]) -> ParentLocator:
    item = items.get(layout.PARENT_LOCATOR)
    if item is None:
        raise VhdxError(file.path, "it has a parent, and no parent locator", DAMAGED)
    return decode_locator(file.path, item)
