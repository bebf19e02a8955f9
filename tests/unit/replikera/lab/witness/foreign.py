"""A VHDX file by hand, from the specification alone."""

import struct
from pathlib import Path
from uuid import UUID

import google_crc32c

MIB = 1 << 20
BLOCK_TABLE = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
ITEMS = {
    "parameters": UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b"),
    "size": UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8"),
    "sector": UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f"),
    "locator": UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c"),
}


def checked(data: bytes) -> bytes:
    checksum: int = google_crc32c.value(data)
    return data[:4] + checksum.to_bytes(4, "little") + data[8:]


def header(sequence: int, *, log: bytes = bytes(16), version: int = 1) -> bytes:
    text = b"head" + bytes(4) + sequence.to_bytes(8, "little") + bytes(32) + log
    return checked((text + struct.pack("<HH", 0, version)).ljust(4096, b"\0"))


def region_table(*regions: tuple[UUID, int, int, int]) -> bytes:
    text = b"regi" + bytes(4) + struct.pack("<II", len(regions), 0)
    for name, offset, length, required in regions:
        text += name.bytes_le + struct.pack("<QII", offset, length, required)
    return checked(text.ljust(65536, b"\0"))


def metadata(items: dict[UUID, bytes]) -> bytes:
    table = b"metadata" + struct.pack("<HH", 0, len(items)) + bytes(20)
    values = b""
    for name, value in items.items():
        table += name.bytes_le + struct.pack("<IIII", 65536 + len(values), len(value), 4, 0)
        values += value
    return (table.ljust(65536, b"\0") + values).ljust(MIB, b"\0")


class Foreign:
    """A VHDX file by hand: 1 MiB blocks, metadata at 2 MiB, block table at 3 MiB, payload from 4 MiB on."""

    def __init__(self, size: int, table: list[int]) -> None:
        self.headers = [header(7), header(6)]
        self.regions = [(METADATA, 2 * MIB, MIB, 1), (BLOCK_TABLE, 3 * MIB, MIB, 1)]
        self.items = {
            ITEMS["parameters"]: struct.pack("<II", MIB, 0),
            ITEMS["size"]: size.to_bytes(8, "little"),
            ITEMS["sector"]: (512).to_bytes(4, "little"),
        }
        self.table = table
        self.payload = [bytes([65 + index]) * MIB for index in range(3)]
        self.signature = b"vhdxfile"

    def write(self, path: Path) -> Path:
        with path.open("wb") as file:
            for offset, data in (
                (0, self.signature),
                (64 << 10, self.headers[0]),
                (128 << 10, self.headers[1]),
                (192 << 10, region_table(*self.regions)),
                (2 * MIB, metadata(self.items)),
                (3 * MIB, b"".join(entry.to_bytes(8, "little") for entry in self.table)),
                (4 * MIB, b"".join(self.payload)),
            ):
                file.seek(offset)
                file.write(data)
        return path


def present(block: int) -> int:
    return (4 + block) * MIB | 6


def sample() -> Foreign:
    # The last block ends with the disk; every state that reads as zeros is there.
    return Foreign(6 * MIB + 512, [present(2), 0, 1, 2, 3 | 4 * MIB, present(0), present(1)])
