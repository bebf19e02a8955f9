"""Make new files, laid out as Windows lays out its own."""

from dataclasses import replace
from pathlib import Path, PureWindowsPath
from uuid import UUID

from replikera.ports.files import File
from replikera.ports.randomness import Randomness
from replikera.vhdx import layout
from replikera.vhdx.bat import entry_count
from replikera.vhdx.errors import VhdxError
from replikera.vhdx.headers import Header, Headers
from replikera.vhdx.image import Image, Writing, structures_of
from replikera.vhdx.locator import ParentLocator
from replikera.vhdx.log_writer import LogWriter
from replikera.vhdx.metadata import Metadata
from replikera.vhdx.placing import place_blocks
from replikera.vhdx.regions import Region, RegionTable
from replikera.vhdx.relinking import absolute_path, can_be_told, relative_path

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

    The image owns `file`. The file's name is the caller's to make durable. Raises `VhdxError`.
    """
    metadata = Metadata(
        block_size=block_size,
        leaves_blocks_allocated=False,
        disk_size=size,
        disk_id=UUID(randomness.uuid()),
        logical_sector_size=logical_sector_size,
        physical_sector_size=_PHYSICAL_SECTOR_SIZE,
    )
    return _create(file, metadata, randomness)


def create_fixed(
    file: File,
    *,
    size: int,
    block_size: int = DEFAULT_BLOCK_SIZE,
    logical_sector_size: int = 512,
    randomness: Randomness,
) -> Image:
    """Write an empty fixed disk, its payload in one piece from the first byte to the last; else as `create_image`.

    The payload is a hole where the volume can have one: the file is as long as the disk, and takes no room yet.
    """
    metadata = Metadata(
        block_size=block_size,
        leaves_blocks_allocated=True,
        disk_size=size,
        disk_id=UUID(randomness.uuid()),
        logical_sector_size=logical_sector_size,
        physical_sector_size=_PHYSICAL_SECTOR_SIZE,
    )
    return _create(file, metadata, randomness)


def create_child(file: File, parent: Image, *, parent_path: Path, randomness: Randomness) -> Image:
    """Write an empty differencing disk over `parent`, which it owns from now on; else as `create_image`.

    `parent` is open for reading, at `parent_path`; the child is bound to its content as it is (DataWriteGuid). Whoever
    opens the parent after this and writes it makes the child unreadable. Refused where the parent's log is not empty.
    """
    if parent.needs_its_log:
        raise VhdxError(
            parent.path,
            "its log is not empty: it is being written, or its writer was killed",
            "Close it first; a disk whose writer was killed is put in order by opening it for writing once.",
        )
    paths = [("relative_path", relative_path(file.path, parent_path))]
    if isinstance(parent_path, PureWindowsPath) and parent_path.is_absolute():
        paths.append(("absolute_win32_path", absolute_path(parent_path)))
    if not all(can_be_told(text) for _, text in paths):
        raise VhdxError(
            file.path,
            f"the way to its parent {str(parent_path)!r} has names that the format cannot hold",
            "Give files and folders names in UTF-8.",
        )
    metadata = Metadata(
        block_size=parent.block_size,
        leaves_blocks_allocated=False,
        disk_size=parent.size,
        disk_id=UUID(parent.disk_id),
        logical_sector_size=parent.logical_sector_size,
        physical_sector_size=parent.physical_sector_size,
        parent=ParentLocator((parent.data_write_id,), tuple(paths)),
        carried=parent.carried_items(),
    )
    if len(metadata.encode()) > _METADATA_LENGTH:
        raise VhdxError(
            parent.path,
            "it has more metadata for its children than a new file has room for",
            "Convert it into a new VHDX (Convert-VHD) and use that as the parent.",
        )
    return _create(file, metadata, randomness, parent=parent)


def _create(
    file: File, metadata: Metadata, randomness: Randomness, *, parent: Image | None = None
) -> Image:
    if file.size():
        raise VhdxError(file.path, "it is not empty", "Create the disk in a new file.")
    if problem := metadata.problem():
        raise VhdxError(file.path, problem, "Create the disk with sizes that the format allows.")
    regions = _regions(metadata)
    end = regions.bat.end
    if metadata.leaves_blocks_allocated:
        end += metadata.block_count * metadata.block_size
    file.truncate(end)
    file_write_id, data_write_id = UUID(randomness.uuid()), UUID(randomness.uuid())
    _write_structures(file, metadata, regions, (file_write_id, data_write_id))
    if metadata.leaves_blocks_allocated:
        place_blocks(file, metadata, regions.bat, first=0, place=regions.bat.end)
    file.sync()
    structures = structures_of(file, metadata, regions, end=end, data_write_id=data_write_id)
    writing = Writing(LogWriter(file, Headers.read(file), randomness), _has_new_ids)
    return Image(replace(structures, parent=parent), writing=writing)


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
