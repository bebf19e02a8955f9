"""The parent locator (MS-VHDX 2.6.2.6): which file a differencing disk goes on from, and where it may be."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from uuid import UUID

from replikera.vhdx import layout
from replikera.vhdx.errors import DAMAGED, UNSUPPORTED, VhdxError

_PATHS = ("relative_path", "volume_path", "absolute_win32_path")
"""In the order in which 2.6.2.6.3 has them tried."""


@dataclass(frozen=True, slots=True)
class ParentLocator:
    """`linkages` are the DataWriteGuids that the parent may have; `paths` where it may be, best first."""

    linkages: tuple[UUID, ...]
    paths: tuple[tuple[str, str], ...]

    def encode(self) -> bytes:
        """Return the metadata item."""
        return encode_values({"parent_linkage": f"{{{self.linkages[0]}}}", **dict(self.paths)})


def encode_values(values: Mapping[str, str]) -> bytes:
    """Return the metadata item of these keys and values."""
    head = layout.PARENT_LOCATOR_HEADER.pack(layout.VHDX_PARENT_LOCATOR.bytes_le, 0, len(values))
    position = len(head) + len(values) * layout.PARENT_LOCATOR_ENTRY.size
    entries, texts = b"", b""
    for pair in values.items():
        key, value = (text.encode("utf-16-le") for text in pair)
        offset = position + len(texts)
        entries += layout.PARENT_LOCATOR_ENTRY.pack(offset, offset + len(key), len(key), len(value))
        texts += key + value
    return head + entries + texts


def decode_locator(path: Path, item: bytes) -> ParentLocator:
    """Return what the metadata item of the file at `path` says. Raises `VhdxError`."""
    try:
        raw, _, _ = layout.PARENT_LOCATOR_HEADER.unpack_from(item)
        kind = UUID(bytes_le=raw)
        if kind != layout.VHDX_PARENT_LOCATOR:
            problem = f"its parent is of type {kind}, not a VHDX file"
            raise VhdxError(path, problem, UNSUPPORTED)
        values = locator_values(item)
        linkages = tuple(
            UUID(values[key]) for key in ("parent_linkage", "parent_linkage2") if key in values
        )
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, VhdxError):
            raise
        raise VhdxError(path, f"its parent locator is damaged: {error}", DAMAGED) from error
    if "parent_linkage" not in values:
        raise VhdxError(path, "its parent locator does not say which parent it is", DAMAGED)
    return ParentLocator(linkages, tuple((key, values[key]) for key in _PATHS if key in values))


def locator_values(item: bytes) -> dict[str, str]:
    """Return all keys and values of a metadata item, unknown ones too.

    Raises `ValueError`, `UnicodeDecodeError` and `struct.error` for what is not one.
    """
    _, _, count = layout.PARENT_LOCATOR_HEADER.unpack_from(item)
    values: dict[str, str] = {}
    left = len(item)
    for index in range(count):
        at = layout.PARENT_LOCATOR_HEADER.size + index * layout.PARENT_LOCATOR_ENTRY.size
        places = layout.PARENT_LOCATOR_ENTRY.unpack_from(item, at)
        key = _text(item, places[0], places[2])
        if key in values:
            raise ValueError(f"it names {key} twice")
        left -= places[2] + places[3]
        if left < 0:
            raise ValueError("its texts lie over each other")
        values[key] = _text(item, places[1], places[3])
    return values


def _text(item: bytes, offset: int, length: int) -> str:
    if not 0 < length <= len(item) - offset:
        raise ValueError(f"{length} bytes at {offset} are not inside it")
    text = item[offset : offset + length].decode("utf-16-le")
    if "\0" in text:
        raise ValueError("a text holds NUL")
    return text


def candidate_paths(child: Path, locator: ParentLocator) -> list[Path]:
    """Return where the parent may be on this machine, best first.

    Windows' own absolute forms mean nothing elsewhere: of them the part behind the drive is not guessed at.
    """
    found: list[Path] = []
    paths: Mapping[str, str] = dict(locator.paths)
    if "relative_path" in paths:
        relative = PureWindowsPath(paths["relative_path"])
        if not relative.anchor:
            found.append(child.parent.joinpath(*relative.parts))
    for key in ("volume_path", "absolute_win32_path"):
        path = Path(paths.get(key, ""))
        if path.is_absolute():
            found.append(path)
    return found
