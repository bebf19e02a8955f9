"""Open an existing file: check every structure it depends on, and refuse what would be read wrong."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

from replikera.ports.files import File, Files
from replikera.ports.randomness import Randomness
from replikera.vhdx import layout
from replikera.vhdx.errors import DAMAGED, VhdxError
from replikera.vhdx.headers import Header, Headers
from replikera.vhdx.image import Image, Structures, Writing, structures_of
from replikera.vhdx.locator import ParentLocator
from replikera.vhdx.log import Log
from replikera.vhdx.log_writer import LogWriter, replay_into
from replikera.vhdx.metadata import Metadata, read_metadata
from replikera.vhdx.parents import Parents, check_linkage, parents_in
from replikera.vhdx.regions import (
    Region,
    RegionTable,
    check_disjoint,
    check_inside,
    read_region_table,
)
from replikera.vhdx.relinking import relinked_pages
from replikera.vhdx.replayed_file import ReplayedFile
from replikera.vhdx.table_check import check_table


def open_image(
    file: File,
    *,
    writable: bool = False,
    randomness: Randomness | None = None,
    parents: Parents | None = None,
) -> Image:
    """Open a file; the image then owns `file`.

    A log that is not empty is replayed, in memory where the file is only read: reading never writes. A differencing
    file needs `parents`, whose files the image owns too. A writable image needs `randomness` for the file's new write
    ids. Raises `VhdxError` and leaves the file open and, but for a replayed log, unchanged.
    """
    if writable and randomness is None:
        raise ValueError("a writable image needs randomness")
    _check_file_type(file)
    headers = Headers.read(file)
    if headers.current.log_id != layout.NIL:
        if randomness is not None and writable:
            replay_into(file, headers, randomness)
        else:
            file = ReplayedFile(file, Log(file, headers.current))
    structures = _read_structures(file, headers.current)
    if structures.metadata.parent is not None:
        parent = _open_parent(file, structures.metadata, structures.metadata.parent, parents)
        structures = replace(structures, parent=parent)
    if not writable or randomness is None:
        return Image(structures, writing=None)
    return Image(structures, writing=_writing(structures, headers, randomness))


def _writing(structures: Structures, headers: Headers, randomness: Randomness) -> Writing:
    file, parent = structures.file, structures.parent
    log = LogWriter(file, headers, randomness)

    def begin() -> None:
        headers.begin_writing(UUID(randomness.uuid()), UUID(randomness.uuid()))
        if file.size() < structures.end:
            file.truncate(structures.end)  # the log tells sizes in whole MiB
        if parent is not None:
            _relink(log, structures, parent.path)

    return Writing(log, begin)


def _relink(log: LogWriter, structures: Structures, parent: Path) -> None:
    """Let the child's paths lead to where its parent was found, before anything else changes."""
    pages = relinked_pages(structures.file, structures.regions.metadata, parent)
    if pages:
        structures.file.sync()  # the log may not tell a size that is not durable
        log.commit(pages, structures.end)


def open_path(
    files: Files, path: Path, *, writable: bool = False, randomness: Randomness | None = None
) -> Image:
    """Open the file at a path with its parents, for reading unless asked otherwise; parents are only read.

    Raises `VhdxError`, `OSError`.
    """
    file = files.open_write(path) if writable else files.open_read(path)
    try:
        return open_image(file, writable=writable, randomness=randomness, parents=parents_in(files))
    except BaseException:
        file.close()
        raise


def _read_structures(file: File, header: Header) -> Structures:
    regions = read_region_table(file)
    reserved = _regions(file, header, regions)
    metadata = read_metadata(file, regions.metadata)
    used = max(file.size(), check_table(file, regions.bat, metadata, reserved))
    end = -(-used // layout.MIB) * layout.MIB
    return structures_of(file, metadata, regions, end=end, data_write_id=header.data_write_id)


def _open_parent(
    file: File, metadata: Metadata, locator: ParentLocator, parents: Parents | None
) -> Image:
    if parents is None:
        raise _differencing(file)
    path = parents.find(file.path, locator)
    try:
        image = _open_above(path, parents.over(file.path))
    except OSError as error:
        raise VhdxError(
            file.path, f"its parent {path} cannot be read: {error.strerror}", "Make it readable."
        ) from error
    try:
        check_linkage(file.path, locator, path, image.data_write_id)
        _check_sectors(file, metadata, image)
    except BaseException:
        image.close()
        raise
    return image


def _open_above(path: Path, parents: Parents) -> Image:
    file = parents.open_read(path)
    try:
        return open_image(file, parents=parents)
    except BaseException:
        file.close()
        raise


def _check_sectors(file: File, metadata: Metadata, parent: Image) -> None:
    if parent.logical_sector_size != metadata.logical_sector_size:
        raise VhdxError(
            file.path,
            f"its sectors have {metadata.logical_sector_size} bytes, those of its parent"
            f" {parent.logical_sector_size}",
            DAMAGED,
        )


def _differencing(file: File) -> VhdxError:
    return VhdxError(
        file.path,
        "it is a differencing disk: its data are partly in a parent file",
        "Merge it into its parent (delete the machine's checkpoint, or Merge-VHD), or convert it"
        " into a standalone disk (Convert-VHD), and use the result.",
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
