"""Make a new dynamic file, laid out as Windows lays out its own."""

from uuid import UUID

from replikera.ports.files import File
from replikera.ports.randomness import Randomness
from replikera.vhdx import layout
from replikera.vhdx.bat import BlockAllocationTable, entry_count
from replikera.vhdx.bitmaps import SectorBitmaps
from replikera.vhdx.block_map import BlockMap
from replikera.vhdx.errors import VhdxError
from replikera.vhdx.headers import Header
from replikera.vhdx.image import Image, Structures
from replikera.vhdx.metadata import Metadata
from replikera.vhdx.pages import Pages
from replikera.vhdx.regions import Region, RegionTable

DEFAULT_BLOCK_SIZE = 2 * layout.MIB
_CREATOR = "Replikera"
_LOG_OFFSET = _LOG_LENGTH = layout.MIB
_METADATA_OFFSET = 2 * layout.MIB
_METADATA_LENGTH = layout.MIB
_BAT_OFFSET = 3 * layout.MIB
_PHYSICAL_SECTOR_SIZE = 4096


def create_image(
    file: File,
    *,
    size: int,
    block_size: int = DEFAULT_BLOCK_SIZE,
    logical_sector_size: int = 512,
    randomness: Randomness,
) -> Image:
    """Write an empty dynamic disk into an empty file, durably, and return it open for writing.

    The image owns `file`. The file's name is the caller's to make durable.
    """
    if file.size():
        raise VhdxError(file.path, "it is not empty", "Create the disk in a new file.")
    metadata = Metadata(
        block_size=block_size,
        leaves_blocks_allocated=False,
        disk_size=size,
        disk_id=UUID(randomness.uuid()),
        logical_sector_size=logical_sector_size,
        physical_sector_size=_PHYSICAL_SECTOR_SIZE,
    )
    if problem := metadata.problem():
        raise VhdxError(file.path, problem, "Create the disk with sizes that the format allows.")
    regions = _regions(metadata)
    end = regions.bat.end
    file.truncate(end)
    data_write_id = UUID(randomness.uuid())
    _write_structures(file, metadata, regions, (UUID(randomness.uuid()), data_write_id))
    file.sync()
    pages = Pages(file)
    table = BlockAllocationTable(file, regions.bat, metadata, pages)
    blocks = BlockMap(metadata, table, SectorBitmaps(table, metadata, pages))
    structures = Structures(file, metadata, table, blocks, end, data_write_id)
    return Image(structures, begin_writing=_has_new_ids)


def _regions(metadata: Metadata) -> RegionTable:
    table_size = entry_count(metadata) * layout.BAT_ENTRY_SIZE
    bat_length = -(-table_size // layout.MIB) * layout.MIB
    return RegionTable(
        bat=Region("the block allocation table", _BAT_OFFSET, bat_length),
        metadata=Region("the metadata", _METADATA_OFFSET, _METADATA_LENGTH),
    )


def _write_structures(
    file: File, metadata: Metadata, regions: RegionTable, ids: tuple[UUID, UUID]
) -> None:
    creator = _CREATOR.encode("utf-16-le")
    file.write(layout.FILE_TYPE_IDENTIFIER.pack(layout.FILE_TYPE_SIGNATURE, creator), 0)
    file_write_id, data_write_id = ids
    for sequence, offset in enumerate(layout.HEADER_OFFSETS):
        header = Header(
            sequence_number=sequence,
            file_write_id=file_write_id,
            data_write_id=data_write_id,
            log_id=layout.NIL,
            log_version=layout.LOG_VERSION,
            version=layout.HEADER_VERSION,
            log_length=_LOG_LENGTH,
            log_offset=_LOG_OFFSET,
        )
        file.write(header.encode(), offset)
    for offset in layout.REGION_TABLE_OFFSETS:
        file.write(regions.encode(), offset)
    file.write(metadata.encode(), regions.metadata.offset)


def _has_new_ids() -> None:
    """Do nothing: the ids of a file made in this opening are new."""
