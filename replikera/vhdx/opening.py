"""Open an existing file: check every structure it depends on, and refuse what would be read wrong."""

from uuid import UUID

from replikera.ports.files import File
from replikera.ports.randomness import Randomness
from replikera.vhdx import layout
from replikera.vhdx.bat import BlockAllocationTable
from replikera.vhdx.errors import VhdxError
from replikera.vhdx.headers import Header, Headers
from replikera.vhdx.image import Image
from replikera.vhdx.log import Log
from replikera.vhdx.metadata import read_metadata
from replikera.vhdx.regions import (
    Region,
    RegionTable,
    check_disjoint,
    check_inside,
    read_region_table,
)
from replikera.vhdx.replayed_file import ReplayedFile


def open_image(
    file: File, *, writable: bool = False, randomness: Randomness | None = None
) -> Image:
    """Open a fixed or dynamic file; the image then owns `file`.

    A log that is not empty is replayed in memory: reading never writes. A writable image needs `randomness` for the
    file's new write ids. Raises `VhdxError` and leaves the file open and unchanged.
    """
    if writable and randomness is None:
        raise ValueError("a writable image needs randomness")
    _check_file_type(file)
    headers = Headers.read(file)
    if headers.current.log_id != layout.NIL:
        if writable:
            raise _dirty(file)
        file = ReplayedFile(file, Log(file, headers.current))
    table = read_region_table(file)
    regions = _regions(file, headers.current, table)
    metadata = read_metadata(file, table.metadata)
    blocks = BlockAllocationTable.read(file, table.bat, metadata, regions)
    used = max(file.size(), blocks.end_of_blocks())

    def begin_writing() -> None:
        if randomness is not None:
            headers.begin_writing(UUID(randomness.uuid()), UUID(randomness.uuid()))

    return Image(
        file,
        metadata,
        blocks,
        end=-(-used // layout.MIB) * layout.MIB,
        begin_writing=begin_writing if writable else None,
    )


def _dirty(file: File) -> VhdxError:
    return VhdxError(
        file.path,
        "its log is not empty: the file is open elsewhere or was not closed cleanly",
        "Let the hypervisor finish it: attach the disk (Mount-VHD) or start and shut down its"
        " machine, then detach it; `qemu-img check -r all` does the same.",
    )


def _check_file_type(file: File) -> None:
    signature = file.read(len(layout.FILE_TYPE_SIGNATURE), 0)
    if signature != layout.FILE_TYPE_SIGNATURE:
        raise VhdxError(
            file.path,
            "it is not a VHDX file",
            "Name a .vhdx file; convert disks of other formats with Convert-VHD or"
            " `qemu-img convert -O vhdx`.",
        )


def _regions(file: File, header: Header, table: RegionTable) -> list[Region]:
    """Return every range that no block may touch."""
    regions = [table.bat, table.metadata, *table.others]
    if header.log_length:
        log = Region("the log", header.log_offset, header.log_length)
        check_inside(file, log)
        regions.append(log)
    check_disjoint(file, regions)
    return regions
