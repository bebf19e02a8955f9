"""The region table (MS-VHDX 2.2.3): where the block table and the metadata are."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from uuid import UUID

from replikera.ports.files import File
from replikera.vhdx import layout
from replikera.vhdx.errors import DAMAGED, UNSUPPORTED, VhdxError


@dataclass(frozen=True, slots=True)
class Region:
    """A named range of the file that no block may touch."""

    name: str
    offset: int
    length: int

    @property
    def end(self) -> int:
        """Return the offset behind the last byte."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class RegionTable:
    """The two known regions, and any unknown optional ones, which are left alone."""

    bat: Region
    metadata: Region
    others: tuple[Region, ...] = ()

    def encode(self) -> bytes:
        """Return the 64 KiB of a table with the known regions, checksum included."""
        known = ((layout.METADATA_REGION, self.metadata), (layout.BAT_REGION, self.bat))
        header = layout.REGION_TABLE_HEADER.pack(layout.REGION_TABLE_SIGNATURE, 0, len(known), 0)
        entries = b"".join(
            layout.REGION_TABLE_ENTRY.pack(
                guid.bytes_le, region.offset, region.length, layout.REGION_REQUIRED
            )
            for guid, region in known
        )
        return layout.with_checksum((header + entries).ljust(layout.REGION_TABLE_SIZE, b"\0"))


def read_region_table(file: File) -> RegionTable:
    """Read the first sound copy of the table and check what it says."""
    return _parse(file, _sound_copy(file))


def _sound_copy(file: File) -> bytes:
    for offset in layout.REGION_TABLE_OFFSETS:
        data = file.read(layout.REGION_TABLE_SIZE, offset)
        if len(data) == layout.REGION_TABLE_SIZE and layout.is_sound(
            data, layout.REGION_TABLE_SIGNATURE
        ):
            return data
    raise VhdxError(
        file.path, "neither region table is valid, the file is damaged or truncated", DAMAGED
    )


def with_block_table(file: File, bat: Region) -> bytes:
    """Return the file's region table with the block table elsewhere, and everything else as it is."""
    data = bytearray(_sound_copy(file))
    count = layout.REGION_TABLE_HEADER.unpack_from(data)[2]
    for index in range(count):
        at = layout.REGION_TABLE_HEADER.size + index * layout.REGION_TABLE_ENTRY.size
        raw, _, _, required = layout.REGION_TABLE_ENTRY.unpack_from(data, at)
        if raw == layout.BAT_REGION.bytes_le:
            layout.REGION_TABLE_ENTRY.pack_into(data, at, raw, bat.offset, bat.length, required)
    return layout.with_checksum(bytes(data))


def check_inside(file: File, region: Region) -> None:
    """Refuse a region that the file does not hold."""
    if region.end > file.size():
        raise VhdxError(
            file.path,
            f"{region.name} ends at {region.end}, behind the end of the file: it is truncated",
            DAMAGED,
        )


def check_disjoint(file: File, regions: Iterable[Region]) -> None:
    """Refuse regions that share bytes."""
    ordered = sorted(regions, key=lambda region: region.offset)
    for lower, upper in pairwise(ordered):
        if lower.end > upper.offset:
            raise VhdxError(file.path, f"{upper.name} overlaps {lower.name}", DAMAGED)


def _parse(file: File, data: bytes) -> RegionTable:
    count = layout.REGION_TABLE_HEADER.unpack_from(data)[2]
    if count > layout.REGION_TABLE_MAX_ENTRIES:
        raise VhdxError(file.path, f"the region table claims {count} entries", DAMAGED)
    regions: dict[UUID, Region] = {}
    for index in range(count):
        guid, region = _parse_entry(file, data, index)
        if guid in regions:
            raise VhdxError(file.path, f"region {guid} is listed twice", DAMAGED)
        regions[guid] = region
    bat = regions.pop(layout.BAT_REGION, None)
    metadata = regions.pop(layout.METADATA_REGION, None)
    if bat is None or metadata is None:
        missing = "block allocation table" if bat is None else "metadata"
        raise VhdxError(file.path, f"the {missing} region is missing", DAMAGED)
    return RegionTable(bat, metadata, tuple(regions.values()))


_KNOWN = {layout.BAT_REGION: "the block allocation table", layout.METADATA_REGION: "the metadata"}


def _parse_entry(file: File, data: bytes, index: int) -> tuple[UUID, Region]:
    position = layout.REGION_TABLE_HEADER.size + index * layout.REGION_TABLE_ENTRY.size
    raw, offset, length, required = layout.REGION_TABLE_ENTRY.unpack_from(data, position)
    guid = UUID(bytes_le=raw)
    # Known regions count as required whatever the flag says: some writers leave it out.
    if guid not in _KNOWN and required & layout.REGION_REQUIRED:
        raise VhdxError(
            file.path, f"region {guid} is required, and this reader does not know it", UNSUPPORTED
        )
    region = Region(_KNOWN.get(guid, f"region {guid}"), offset, length)
    if offset < layout.HEADER_SECTION_SIZE or offset % layout.MIB or length % layout.MIB:
        raise VhdxError(
            file.path,
            f"{region.name} at {offset}, {length} bytes, is not in whole MiB behind the"
            " header section",
            DAMAGED,
        )
    check_inside(file, region)
    return guid, region
