"""The bytes of a VHDX file, under the names of MS-VHDX (revision 2018-09-12); section numbers are its own.

All integers are little-endian, checksums are CRC-32C, GUIDs are stored with their first three fields
byte-swapped (`uuid.UUID.bytes_le`).
"""

from enum import IntEnum, IntFlag
from struct import Struct
from uuid import UUID

import google_crc32c

KIB = 1 << 10
MIB = 1 << 20
TIB = 1 << 40

NIL = UUID(int=0)

# 2.2 Header section: everything below 1 MiB
FILE_TYPE_IDENTIFIER = Struct("<8s512s")  # Signature, Creator
FILE_TYPE_SIGNATURE = b"vhdxfile"
HEADER_OFFSETS = (64 * KIB, 128 * KIB)
REGION_TABLE_OFFSETS = (192 * KIB, 256 * KIB)
HEADER_SECTION_SIZE = MIB

# 2.2.2 Headers: Signature, Checksum, SequenceNumber, FileWriteGuid, DataWriteGuid, LogGuid, LogVersion,
# Version, LogLength, LogOffset; the rest of the 4 KiB is reserved
HEADER = Struct("<4sIQ16s16s16sHHIQ")
HEADER_SIGNATURE = b"head"
HEADER_SIZE = 4 * KIB
HEADER_VERSION = 1
LOG_VERSION = 0
SEQUENCE_NUMBER_LIMIT = 1 << 64

# 2.2.3 Region table: Signature, Checksum, EntryCount, Reserved; then the entries
REGION_TABLE_HEADER = Struct("<4sIII")
REGION_TABLE_SIGNATURE = b"regi"
REGION_TABLE_SIZE = 64 * KIB
REGION_TABLE_MAX_ENTRIES = 2047
REGION_TABLE_ENTRY = Struct("<16sQII")  # Guid, FileOffset, Length, Required
REGION_REQUIRED = 1
BAT_REGION = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA_REGION = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")

# 2.3 Log: entries of an entry header, descriptors, and a data sector for every data descriptor
LOG_SECTOR_SIZE = 4 * KIB
# Signature, Checksum, EntryLength, Tail, SequenceNumber, DescriptorCount, Reserved, LogGuid,
# FlushedFileOffset, LastFileOffset
LOG_ENTRY_HEADER = Struct("<4sIIIQII16sQQ")
LOG_ENTRY_SIGNATURE = b"loge"
LOG_DESCRIPTOR_SIZE = 32
# DataSignature, TrailingBytes, LeadingBytes, FileOffset, SequenceNumber
LOG_DATA_DESCRIPTOR = Struct("<4s4s8sQQ")
LOG_DATA_DESCRIPTOR_SIGNATURE = b"desc"
LOG_ZERO_DESCRIPTOR = Struct(
    "<4sIQQQ"
)  # ZeroSignature, Reserved, ZeroLength, FileOffset, SequenceNumber
LOG_ZERO_DESCRIPTOR_SIGNATURE = b"zero"
LOG_DATA_SECTOR = Struct("<4sI4084sI")  # DataSignature, SequenceHigh, Data, SequenceLow
LOG_DATA_SECTOR_SIGNATURE = b"data"
LOGGABLE_OFFSET = REGION_TABLE_OFFSETS[0]
"""Below are the file's identifier and the headers, which are never changed through the log."""

# 2.4 and 2.5 Blocks and their table
MIN_BLOCK_SIZE = 1 * MIB
MAX_BLOCK_SIZE = 256 * MIB
SECTORS_PER_BITMAP = 1 << 23  # one sector bitmap block (1 MiB) has one bit for each
BAT_ENTRY_SIZE = 8
BAT_STATE_MASK = 0x7
BAT_OFFSET_MASK = ~(MIB - 1)  # FileOffsetMB, bits 20 to 63, read as bytes


class PayloadState(IntEnum):
    """2.5.1.1 States of a payload block; 4 is reserved."""

    NOT_PRESENT = 0
    UNDEFINED = 1
    ZERO = 2
    UNMAPPED = 3
    UNMAPPED_OF_DRAFT = 5  # UNMAPPED in draft 0.95 of the specification; files of that time exist
    FULLY_PRESENT = 6
    PARTIALLY_PRESENT = 7


BITMAP_PRESENT = 6
"""2.5.1.2 State of a sector bitmap that is there; the other one is 0."""


# 2.6.1 Metadata table: Signature, Reserved, EntryCount, Reserved; then the entries
METADATA_TABLE_HEADER = Struct("<8sHH20x")
METADATA_SIGNATURE = b"metadata"
METADATA_TABLE_SIZE = 64 * KIB
METADATA_MAX_ENTRIES = 2047
METADATA_TABLE_ENTRY = Struct("<16sIIII")  # ItemId, Offset, Length, flags, Reserved


class MetadataFlags(IntFlag):
    """2.6.1.2 Flags of a metadata item."""

    IS_USER = 1
    IS_VIRTUAL_DISK = 2
    IS_REQUIRED = 4


# 2.6.2 Known metadata items
FILE_PARAMETERS = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
VIRTUAL_DISK_SIZE = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
VIRTUAL_DISK_ID = UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
LOGICAL_SECTOR_SIZE = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
PHYSICAL_SECTOR_SIZE = UUID("cda348c7-445d-4471-9cc9-e9885251c556")
PARENT_LOCATOR = UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
INCOMPLETE_FILE = UUID(
    "71cc85f0-1b69-4e28-9558-c3bf83ae75d3"
)  # seen in real files, not in the specification

FILE_PARAMETERS_ITEM = Struct("<II")  # BlockSize, flags
LEAVE_BLOCKS_ALLOCATED = 1
HAS_PARENT = 2
# 2.6.2.6 Parent locator: LocatorType, Reserved, KeyValueCount; then the entries: KeyOffset, ValueOffset,
# KeyLength, ValueLength
PARENT_LOCATOR_HEADER = Struct("<16sHH")
PARENT_LOCATOR_ENTRY = Struct("<IIHH")
VHDX_PARENT_LOCATOR = UUID("b04aefb7-d19e-4a81-b789-25b8e9445913")
MAX_ITEM_SIZE = MIB
UINT64_ITEM = Struct("<Q")
UINT32_ITEM = Struct("<I")
GUID_ITEM = Struct("<16s")
SECTOR_SIZES = (512, 4096)
MAX_DISK_SIZE = 64 * TIB
MAX_FILE_SIZE = 2 * MAX_DISK_SIZE
"""Payload, its bitmaps and table need a thousandth more; the rest is room for what others keep in a file."""

_CHECKSUM = Struct("<I")
_CHECKSUM_OFFSET = 4  # in headers and region tables alike


def is_sound(structure: bytes, signature: bytes) -> bool:
    """Tell whether a header or region table has its signature and the checksum of its own bytes."""
    if structure[:4] != signature:
        return False
    (stored,) = _CHECKSUM.unpack_from(structure, _CHECKSUM_OFFSET)
    return bool(stored == google_crc32c.value(_without_checksum(structure)))


def with_checksum(structure: bytes) -> bytes:
    """Return a header or region table with its checksum filled in."""
    checksum = google_crc32c.value(_without_checksum(structure))
    return structure[:_CHECKSUM_OFFSET] + _CHECKSUM.pack(checksum) + structure[8:]


def _without_checksum(structure: bytes) -> bytes:
    return structure[:_CHECKSUM_OFFSET] + bytes(4) + structure[8:]


def is_block_size(size: int) -> bool:
    """Tell whether 2.6.2.1 allows this block size."""
    return MIN_BLOCK_SIZE <= size <= MAX_BLOCK_SIZE and size.bit_count() == 1
