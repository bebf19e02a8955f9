"""The end of a replica: its disks are kept as plain files where that is wished, and everything else goes.

The marker decides. Before it is durable the replica is whole, and what was kept is only a copy under a name that nobody
believes; from then on the replica does not exist any more, and every start finishes what is left to be done.
"""

from collections.abc import Generator, Iterator
from pathlib import Path

from agent.replica.documents import read_document, write_document
from agent.replica.frames import Window
from agent.replica.images import ImageFormat, image_paths
from agent.replica.layout import Layout
from agent.replica.materialise import materialise
from agent.replica.new_disks import COPY_BYTES
from agent.replica.point_view import PointView
from replikera.blocks.segment import DiskGeometry, SegmentFormatError
from replikera.blocks.segment.canonical import object_of, text_of
from replikera.durable import TEMPORARY_SUFFIX, make_directory_durably
from replikera.ports.files import Files

_KEYS = frozenset({"kept_in"})
_MAX_PATH = 4096
_MAX_NAME = 64
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def free_export(files: Files, exports: Path, protection_id: str) -> Path:
    """Return a folder for the disks of a protection that is not there yet. Blocks."""
    number, folder = 1, exports / protection_id
    while files.status(folder) is not None:
        number += 1
        folder = exports / f"{protection_id}-{number}"
    return folder


def kept_disks(files: Files, exports: Path, protection_id: str) -> tuple[Path, ...]:
    """Return the disks that were kept of a protection that is gone, of the last time there was one. Blocks."""
    number, kept = 1, exports / protection_id
    while files.status(exports / f"{protection_id}-{number + 1}") is not None:
        number += 1
        kept = exports / f"{protection_id}-{number}"
    return tuple(kept / name for name in files.list_directory(kept))


def export(
    view: PointView, files: Files, image_format: ImageFormat, folder: Path, images: Path | None
) -> Generator[None]:
    """Put the disks of a point into `folder` under its temporary name, durably, a step at a time.

    `images` is the folder of a base that is exactly this point: it is read once, verified, and not copied, where the
    volume is the same.
    """
    temporary = _temporary_of(folder)
    files.remove_tree(temporary)
    make_directory_durably(files, temporary)
    names = [disk_name(n, disk, image_format) for n, disk in enumerate(view.disks)]
    paths = dict(zip(view.disks, (temporary / name for name in names), strict=True))
    if images is not None:
        yield from _read_through(view)
        sources = image_paths(images, len(view.disks), image_format)
        if _link(files, sources, [*paths.values()]):
            files.sync_directory(temporary)
            return
    for _ in materialise(view, files, image_format, paths.__getitem__):
        yield


def disk_name(number: int, disk: DiskGeometry, image_format: ImageFormat) -> str:
    """Return what a kept disk is called: its place, and what is plain of its name."""
    stem = "".join(letter if letter in _PLAIN else "_" for letter in Path(disk.name).stem)
    return f"{number:02d}-{stem[:_MAX_NAME]}{image_format.suffix}"


def mark_removed(files: Files, layout: Layout, kept_in: Path | None) -> None:
    """Decide that the replica is gone, durably; its disks are in `kept_in`."""
    write_document(files, layout.removal, {"kept_in": str(kept_in) if kept_in else ""})


def finish_removal(files: Files, layout: Layout) -> bool:
    """Remove what a removed replica has left; return False where none was removed. Blocks; may be repeated.

    Raises `SegmentFormatError`, `OSError`.
    """
    if files.status(layout.removal) is None:
        return False
    kept_in = _read(files, layout)
    if kept_in is not None and files.status(_temporary_of(kept_in)) is not None:
        files.sync_directory(kept_in.parent)
        files.replace(_temporary_of(kept_in), kept_in)
        files.sync_directory(kept_in.parent)
    for name in files.list_directory(layout.folder):
        path = layout.folder / name
        found = files.status(path)
        if found is not None and found.is_directory:
            files.remove_tree(path)
        elif path != layout.removal:
            files.remove(path)
    files.sync_directory(layout.folder)
    files.remove_tree(layout.folder)
    files.sync_directory(layout.folder.parent)
    return True


def _read(files: Files, layout: Layout) -> Path | None:
    files.sync_directory(layout.folder)
    fields = object_of(read_document(files, layout.removal), _KEYS, "the end of a replica")
    kept_in = text_of(fields, "kept_in", _MAX_PATH)
    if kept_in and not Path(kept_in).is_absolute():
        raise SegmentFormatError(f"{layout.removal.name} names no folder")
    return Path(kept_in) if kept_in else None


def _temporary_of(folder: Path) -> Path:
    return folder.with_name(folder.name + TEMPORARY_SUFFIX)


def _read_through(view: PointView) -> Iterator[None]:
    window = Window()
    for disk in range(len(view.disks)):
        for offset, length in view.stored_extents(disk).split(COPY_BYTES):
            view.read_into(disk, window.view(length), offset)
            yield


def _link(files: Files, sources: list[Path], targets: list[Path]) -> bool:
    """Give the files second names; False where the volume cannot."""
    try:
        for source, target in zip(sources, targets, strict=True):
            files.link(source, target)
    except OSError:
        for target in targets:
            if files.status(target) is not None:
                files.remove(target)
        return False
    return True
