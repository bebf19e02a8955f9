"""Small JSON files that notice when a bit of them has changed."""

from pathlib import Path

import xxhash

from replikera.blocks.segment import SegmentFormatError
from replikera.blocks.segment.canonical import Json, decode_canonical, encode_canonical
from replikera.durable import TEMPORARY_SUFFIX, write_durably
from replikera.ports.files import Files

MAX_DOCUMENT_BYTES = 512 * 1024
"""A trailer is at most half of it."""

_CHECKSUM = "checksum"


def write_document(files: Files, path: Path, fields: dict[str, Json]) -> None:
    """Replace a document, atomically and durably."""
    write_durably(files, path, encode_canonical({**fields, _CHECKSUM: _checksum(fields)}))


def place_document(files: Files, path: Path, fields: dict[str, Json]) -> None:
    """Replace a document, atomically; durable when the caller has synced its folder."""
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    if files.status(temporary) is not None:
        files.remove(temporary)
    with files.create(temporary) as file:
        file.write(encode_canonical({**fields, _CHECKSUM: _checksum(fields)}), 0)
        file.sync()
    files.replace(temporary, path)


def read_document(files: Files, path: Path) -> dict[str, Json]:
    """Return the fields. Raises `SegmentFormatError` for a damaged one, `OSError` for a missing one."""
    try:
        data = files.read_bytes(path, limit=MAX_DOCUMENT_BYTES)
    except ValueError as error:
        raise SegmentFormatError(str(error)) from error
    fields = decode_canonical(data, path.name)
    if not isinstance(fields, dict) or fields.pop(_CHECKSUM, None) != _checksum(fields):
        raise SegmentFormatError(f"the checksum of {path.name} is wrong")
    return fields


def _checksum(fields: dict[str, Json]) -> str:
    return xxhash.xxh3_128(encode_canonical(dict(fields))).hexdigest()
