"""Differencing files as other software writes them, built from the specification alone."""

import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.unit.replikera.vhdx import foreign_file
from tests.unit.replikera.vhdx.foreign_file import MIB, PARENT_LOCATOR, Item, entry, items
from tests.unit.replikera.vhdx.memory_file import MemoryFile

VHDX_LOCATOR = uuid.UUID("b04aefb7-d19e-4a81-b789-25b8e9445913")
SECTOR = 512


def locator(
    values: Mapping[str, str], *, kind: uuid.UUID = VHDX_LOCATOR, count: int | None = None
) -> bytes:
    """Return the metadata item of a parent locator."""
    head = kind.bytes_le + struct.pack("<HH", 0, len(values) if count is None else count)
    entries, texts = b"", b""
    for key, value in values.items():
        raw = [text.encode("utf-16-le") for text in (key, value)]
        at = 20 + 12 * len(values) + len(texts)
        entries += struct.pack("<IIHH", at, at + len(raw[0]), len(raw[0]), len(raw[1]))
        texts += raw[0] + raw[1]
    return head + entries + texts


def linkage(parent: uuid.UUID = foreign_file.DATA_WRITE_ID) -> str:
    return f"{{{parent}}}"


def child_items(
    parent: str = "parent.vhdx",
    *,
    size: int = 4 * MIB,
    sectors: tuple[int, int] = (SECTOR, 4096),
    values: Mapping[str, str] | None = None,
) -> list[Item]:
    told = values or {"parent_linkage": linkage(), "relative_path": f".\\{parent}"}
    return [
        *items(size=size, flags=2, sectors=sectors),
        (PARENT_LOCATOR, locator(told), 4),
    ]


@dataclass(frozen=True)
class Block:
    """A block of a child: its state, and for a partial one which of its sectors it has."""

    state: int
    data: bytes = bytes(MIB)
    sectors: frozenset[int] = frozenset()


def child(blocks: Mapping[int, Block], *, content: list[Item] | None = None) -> bytearray:
    """Return a differencing file with blocks of 1 MiB: 4 MiB of structures, the bitmap, then the blocks."""
    ratio = (1 << 23) * SECTOR // MIB
    placed = {number: block for number, block in blocks.items() if block.state >= 6}
    entries = {number: entry(block.state) for number, block in blocks.items() if block.state < 6}
    bitmap = bytearray(MIB)
    payload = b""
    for index, (number, block) in enumerate(placed.items()):
        entries[number] = entry(block.state, 5 + index)
        payload += block.data
        for sector in block.sectors:
            bit = number * (MIB // SECTOR) + sector
            bitmap[bit // 8] |= 1 << bit % 8
    if any(block.state == 7 for block in blocks.values()):
        entries[ratio] = entry(6, 4)
    data = foreign_file.build(content=content or child_items(), entries=entries, file_mib=4)
    return data + bitmap + payload


class Volume:
    """Files by path; `opened` are all that were opened."""

    def __init__(self, content: Mapping[str, bytes | bytearray]) -> None:
        self._content = {Path("/volume") / name: data for name, data in content.items()}
        self.opened: list[MemoryFile] = []

    def open_read(self, path: Path) -> MemoryFile:
        file = MemoryFile(self._content[path], path.name)
        self.opened.append(file)
        return file

    def exists(self, path: Path) -> bool:
        return path in self._content
