"""Keeping a child's way to its parent true: stale paths give way to where the parent was found (MS-VHDX 2.6.2.6.3)."""

import os.path
from collections.abc import Mapping
from pathlib import Path, PurePath, PureWindowsPath

from replikera.ports.files import File
from replikera.vhdx.locator import encode_values, locator_values
from replikera.vhdx.metadata import MetadataItem, locator_item, moved_locator
from replikera.vhdx.patching import patched_pages
from replikera.vhdx.regions import Region

_RELATIVE, _ABSOLUTE = "relative_path", "absolute_win32_path"


def relative_path(child: Path, parent: Path) -> str:
    """Return the way from the child's folder to its parent, as the format writes it."""
    relative = os.path.relpath(parent, child.parent).replace("/", "\\")
    return relative if relative.startswith("..") else f".\\{relative}"


def absolute_path(parent: PurePath) -> str:
    """Return a path in the form of this system, on Windows with the prefix that the format demands."""
    text = str(parent) if isinstance(parent, PureWindowsPath) else os.path.normpath(parent)
    is_bare = isinstance(parent, PureWindowsPath) and not text.startswith("\\\\?\\")
    return f"\\\\?\\{text}" if is_bare else text


def can_be_told(text: str) -> bool:
    """Tell whether the format can hold a path: names of other encodings than UTF-8 it cannot."""
    try:
        text.encode("utf-16-le")
    except UnicodeEncodeError:
        return False
    return True


def renewed_paths(values: Mapping[str, str], child: Path, parent: Path) -> dict[str, str]:
    """Return a locator's values with every stale path among them made that of `parent`.

    Paths in the form of another system stay: whether they are stale cannot be known here. So does the path by volume,
    which comes after the relative one and says what only its own machine can judge.
    """
    renewed = dict(values)
    if _RELATIVE in values:
        told = PureWindowsPath(values[_RELATIVE])
        if told.anchor or not _is_same(child.parent.joinpath(*told.parts), parent):
            renewed[_RELATIVE] = relative_path(child, parent)
    absolute = Path(values.get(_ABSOLUTE, ""))
    if absolute.is_absolute() and parent.is_absolute() and not _is_same(absolute, parent):
        renewed[_ABSOLUTE] = absolute_path(parent)
    return {key: text if can_be_told(text) else values[key] for key, text in renewed.items()}


def relinked_pages(file: File, metadata: Region, parent: Path) -> list[tuple[int, bytes]]:
    """Return the pages of the child `file` that change so that its locator leads to `parent`; none where it does.

    None, too, where the metadata have no room for longer paths: the child is found as it was.
    """
    item = locator_item(file, metadata)
    if item is None:
        return []
    values = locator_values(item.content)
    renewed = renewed_paths(values, file.path, parent)
    if renewed == values:
        return []
    return _pages(file, metadata, item, encode_values(renewed))


def _pages(
    file: File, metadata: Region, item: MetadataItem, content: bytes
) -> list[tuple[int, bytes]]:
    moved = moved_locator(item, metadata, len(content))
    if moved is None:
        return []
    place, entry = moved
    return patched_pages(file, [(place, content), (item.entry_offset, entry)])


def _is_same(first: Path, second: Path) -> bool:
    return os.path.normpath(first) == os.path.normpath(second)
