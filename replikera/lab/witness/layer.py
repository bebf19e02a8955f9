"""The file of a VHDX as it is once its log was applied: read by position, nothing written."""

import struct
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from replikera.lab.witness.checksum import has_checksum
from replikera.lab.witness.errors import WitnessError
from replikera.lab.witness.log import Replay, replay
from replikera.ports.files import File

KIB: Final = 1024
MIB: Final = 1024 * KIB
_HEADER_OFFSETS: Final = (64 * KIB, 128 * KIB)
_REGION_TABLE_OFFSETS: Final = (192 * KIB, 256 * KIB)
_HEADER: Final = struct.Struct("<4sIQ16s16s16sHHIQ")
_TABLE_BYTES: Final = 64 * KIB
_MAX_LOG_BYTES: Final = 256 * MIB
_MAX_ENTRIES: Final = 2047

BLOCK_TABLE: Final = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA: Final = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the file."""

    offset: int
    length: int


class Layer:
    """One file of a chain, open. Raises `WitnessError` where its structures do not hold together."""

    def __init__(self, file: File) -> None:
        self.path = file.path
        self.has_log = False
        self._file = file
        self._replay = Replay()
        if file.read(8, 0) != b"vhdxfile":
            raise WitnessError(file.path, "no VHDX signature at its beginning")
        self.data_write_id, log_id, log = self._header()
        if log_id != bytes(16):
            self.has_log = True
            self._replay = replay(self.path, self._log(log), log_id, file.size())
        self.size = max(file.size(), self._replay.least_size)
        self.regions = self._regions()

    def read(self, length: int, offset: int) -> bytes:
        """Return up to `length` bytes; fewer only at the end of the file."""
        buffer = bytearray(max(0, min(length, self.size - offset)))
        return bytes(buffer[: self.read_into(memoryview(buffer), offset)])

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset` on; return the bytes read, fewer only at the end of the file."""
        end = max(offset, min(offset + len(buffer), self.size))
        stored = self._file.read_into(buffer[: end - offset], offset)
        buffer[stored : end - offset] = bytes(end - offset - stored)  # the log made it longer
        for patch in self._replay.patches:
            low, high = max(patch.offset, offset), min(patch.offset + patch.length, end)
            if low < high:
                content = patch.content
                buffer[low - offset : high - offset] = (
                    bytes(high - low)
                    if content is None
                    else content[low - patch.offset : high - patch.offset]
                )
        return end - offset

    def close(self) -> None:
        """Close the file; idempotent."""
        self._file.close()

    def _header(self) -> tuple[bytes, bytes, Region]:
        """Return the DataWriteGuid, the LogGuid and where the log is, of the newest valid header (2.2.2)."""
        newest: tuple[int, bytes] | None = None
        for offset in _HEADER_OFFSETS:
            data = self._file.read(4 * KIB, offset)
            if data[:4] == b"head" and len(data) == 4 * KIB and has_checksum(data):
                sequence = int.from_bytes(data[8:16], "little")
                if newest is None or sequence > newest[0]:
                    newest = sequence, data
        if newest is None:
            raise WitnessError(self.path, "neither of its two headers is valid")
        fields = _HEADER.unpack_from(newest[1])
        log_version, version, log_length, log_offset = fields[6:10]
        if (log_version, version) != (0, 1):
            raise WitnessError(self.path, f"format version {version}, log version {log_version}")
        return fields[4], fields[5], Region(log_offset, log_length)

    def _log(self, region: Region) -> bytes:
        if not 0 < region.length <= _MAX_LOG_BYTES or region.length % MIB or region.offset < MIB:
            raise WitnessError(self.path, f"a log of {region.length} bytes at {region.offset}")
        log = self._file.read(region.length, region.offset)
        if len(log) != region.length:
            raise WitnessError(self.path, "its log is cut off")
        return log

    def _regions(self) -> dict[UUID, Region]:
        for offset in _REGION_TABLE_OFFSETS:
            data = self.read(_TABLE_BYTES, offset)
            if data[:4] == b"regi" and len(data) == _TABLE_BYTES and has_checksum(data):
                return self._parse_regions(data)
        raise WitnessError(self.path, "neither of its two region tables is valid")

    def _parse_regions(self, data: bytes) -> dict[UUID, Region]:
        count = int.from_bytes(data[8:12], "little")
        if count > _MAX_ENTRIES:
            raise WitnessError(self.path, f"{count} regions")
        regions: dict[UUID, Region] = {}
        for position in range(16, 16 + 32 * count, 32):
            name = UUID(bytes_le=data[position : position + 16])
            offset, length, required = struct.unpack_from("<QII", data, position + 16)
            if name in {BLOCK_TABLE, METADATA}:
                if offset < MIB or offset % MIB or offset + length > self.size:
                    raise WitnessError(self.path, f"region {name} at {offset} is out of bounds")
                regions[name] = Region(offset, length)
            elif required & 1:
                raise WitnessError(self.path, f"unknown required region {name}")
        if len(regions) != 2:
            raise WitnessError(self.path, "its block table or its metadata is missing")
        return regions
