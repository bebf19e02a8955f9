"""Changes of a few bytes as the whole pages that the log takes."""

from collections.abc import Iterable

from replikera.ports.files import File
from replikera.vhdx import layout

_PAGE = layout.LOG_SECTOR_SIZE


def patched_pages(file: File, changes: Iterable[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Return the pages of the file, by offset, as they are with these bytes in their places."""
    found: dict[int, bytearray] = {}
    for offset, data in changes:
        for at, byte_range in _split(offset, len(data)):
            page = found.setdefault(at, bytearray(file.read(_PAGE, at).ljust(_PAGE, b"\0")))
            start = byte_range.start
            page[start - at : byte_range.stop - at] = data[
                start - offset : byte_range.stop - offset
            ]
    return [(at, bytes(page)) for at, page in sorted(found.items())]


def _split(offset: int, length: int) -> list[tuple[int, range]]:
    """Return for every page that a range touches its offset and the part of the range in it."""
    first, end = offset // _PAGE * _PAGE, offset + length
    return [(at, range(max(at, offset), min(at + _PAGE, end))) for at in range(first, end, _PAGE)]
