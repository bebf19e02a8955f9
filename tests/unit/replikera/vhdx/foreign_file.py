"""VHDX files as other software writes them, built from the specification's text and without `replikera.vhdx`."""

import struct
import uuid
from collections.abc import Mapping, Sequence

import google_crc32c

MIB = 1 << 20
HEADERS = (64 << 10, 128 << 10)
REGION_TABLES = (192 << 10, 256 << 10)
NIL = uuid.UUID(int=0)
DISK_ID = uuid.UUID("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")
FILE_WRITE_ID = uuid.UUID("11111111-2222-3333-4444-555555555555")
DATA_WRITE_ID = uuid.UUID("66666666-7777-8888-9999-aaaaaaaaaaaa")
STRANGER = uuid.UUID("deadbeef-0000-4000-8000-000000000001")
BAT = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
FILE_PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
DISK_SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
LOGICAL_SECTOR = uuid.UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
PHYSICAL_SECTOR = uuid.UUID("cda348c7-445d-4471-9cc9-e9885251c556")
DISK_ID_ITEM = uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
PARENT_LOCATOR = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
INCOMPLETE = uuid.UUID("71cc85f0-1b69-4e28-9558-c3bf83ae75d3")

Item = tuple[uuid.UUID, bytes, int]
Region = tuple[uuid.UUID, int, int, int]


def sealed(structure: bytes) -> bytes:
    """Return a header or region table with its checksum."""
    blank = structure[:4] + bytes(4) + structure[8:]
    return blank[:4] + struct.pack("<I", google_crc32c.value(blank)) + blank[8:]


def header(
    sequence: int,
    *,
    log_id: uuid.UUID = NIL,
    version: int = 1,
    log: tuple[int, int] = (MIB, MIB),
) -> bytes:
    ids = FILE_WRITE_ID.bytes_le + DATA_WRITE_ID.bytes_le + log_id.bytes_le
    fields = b"head" + bytes(4) + struct.pack("<Q", sequence) + ids
    fields += struct.pack("<HHIQ", 0, version, log[1], log[0])
    return sealed(fields.ljust(4096, b"\0"))


def region_table(regions: Sequence[Region]) -> bytes:
    data = b"regi" + bytes(4) + struct.pack("<II", len(regions), 0)
    for guid, offset, length, required in regions:
        data += guid.bytes_le + struct.pack("<QII", offset, length, required)
    return sealed(data.ljust(64 << 10, b"\0"))


def items(
    *,
    size: int = 4 * MIB,
    block_size: int = MIB,
    flags: int = 0,
    sectors: tuple[int, int] = (512, 4096),
) -> list[Item]:
    """Return the five items that every file has."""
    return [
        (FILE_PARAMETERS, struct.pack("<II", block_size, flags), 4),
        (DISK_SIZE, struct.pack("<Q", size), 6),
        (LOGICAL_SECTOR, struct.pack("<I", sectors[0]), 6),
        (PHYSICAL_SECTOR, struct.pack("<I", sectors[1]), 6),
        (DISK_ID_ITEM, DISK_ID.bytes_le, 6),
    ]


def metadata(content: Sequence[Item]) -> bytes:
    table = b"metadata" + struct.pack("<HH", 0, len(content)) + bytes(20)
    values = b""
    for guid, value, flags in content:
        offset = (64 << 10) + len(values)
        table += guid.bytes_le + struct.pack("<IIII", offset, len(value), flags, 0)
        values += value
    return table.ljust(64 << 10, b"\0") + values


def entry(state: int, place_mib: int = 0) -> int:
    return place_mib << 20 | state


def build(
    *,
    content: Sequence[Item] | None = None,
    headers: tuple[bytes, bytes] | None = None,
    entries: Mapping[int, int] | None = None,
    regions: Sequence[Region] | None = None,
    bat_at_mib: int = 3,
    metadata_at_mib: int = 2,
    required: int = 1,
    file_mib: int = 4,
) -> bytearray:
    """Return a whole file; `entries` are table entries by their index in the table."""
    data = bytearray(file_mib * MIB)
    data[0:8] = b"vhdxfile"
    pair = headers or (header(7), header(8))
    for offset, block in zip(HEADERS, pair, strict=True):
        data[offset : offset + 4096] = block
    known = [
        (BAT, bat_at_mib * MIB, MIB, required),
        (METADATA, metadata_at_mib * MIB, MIB, required),
    ]
    table = region_table(known if regions is None else regions)
    for offset in REGION_TABLES:
        data[offset : offset + len(table)] = table
    block = metadata(items() if content is None else content)
    data[metadata_at_mib * MIB : metadata_at_mib * MIB + len(block)] = block
    for index, value in (entries or {}).items():
        struct.pack_into("<Q", data, bat_at_mib * MIB + index * 8, value)
    return data
