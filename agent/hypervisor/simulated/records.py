"""The blocks of the workload's log on a disk, each with a digest of itself at its end.

A superblock says which workload a disk belongs to; a record vouches for a piece of data and for the record before it;
a forward, on a disk that was resized, says for which size the log was laid out.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Self
from uuid import UUID

from blake3 import blake3

from agent.hypervisor.simulated.layout import BLOCK, SLOT_BYTES

DIGEST_BYTES = 32
_SUPERBLOCK = Struct("<8s16sIII")
_SUPERBLOCK_MAGIC = b"rk-chain"
_RECORD = Struct("<8s16sQI32s32s?")
_RECORD_MAGIC = b"rk-recrd"
_FORWARD = Struct("<8sQ")
_FORWARD_MAGIC = b"rk-moved"


@dataclass(frozen=True, slots=True)
class Superblock:
    """Which workload a disk belongs to, and as which of its disks."""

    workload_id: UUID
    disk_count: int
    disk_index: int
    ring_size: int

    @staticmethod
    def is_one(block: bytes) -> bool:
        """Tell whether the block was a superblock once, damaged or not."""
        return block.startswith(_SUPERBLOCK_MAGIC)

    @classmethod
    def decode(cls, block: bytes) -> Self | None:
        """Return the superblock, None where it is damaged."""
        magic, workload_id, count, index, ring_size = _SUPERBLOCK.unpack_from(block)
        if magic != _SUPERBLOCK_MAGIC or not _is_sealed(block):
            return None
        return cls(UUID(bytes=workload_id), count, index, ring_size)

    def encode(self) -> bytes:
        """Return the block."""
        return _sealed(
            _SUPERBLOCK.pack(
                _SUPERBLOCK_MAGIC,
                self.workload_id.bytes,
                self.disk_count,
                self.disk_index,
                self.ring_size,
            )
        )


@dataclass(frozen=True, slots=True)
class Record:
    """One record: it vouches for `length` bytes of data and for the record before it.

    `is_closing`: the guest closed its log with it; nothing was in flight.
    """

    workload_id: UUID
    sequence: int
    length: int
    data_digest: bytes
    previous: bytes
    is_closing: bool = False

    @classmethod
    def decode(cls, block: bytes) -> Self | None:
        """Return the record, None where it is damaged."""
        magic, workload_id, sequence, length, digest, previous, closes = _RECORD.unpack_from(block)
        if magic != _RECORD_MAGIC or not _is_sealed(block) or not 0 < length <= SLOT_BYTES:
            return None
        return cls(UUID(bytes=workload_id), sequence, length, digest, previous, closes)

    def encode(self) -> bytes:
        """Return the block; its last bytes are its digest."""
        return _sealed(
            _RECORD.pack(
                _RECORD_MAGIC,
                self.workload_id.bytes,
                self.sequence,
                self.length,
                self.data_digest,
                self.previous,
                self.is_closing,
            )
        )


@dataclass(frozen=True, slots=True)
class Forward:
    """The log of this disk lies where it does on a disk of `size` bytes."""

    size: int

    @staticmethod
    def is_one(block: bytes) -> bool:
        """Tell whether the block was a forward once, damaged or not."""
        return block.startswith(_FORWARD_MAGIC)

    @classmethod
    def decode(cls, block: bytes) -> Self | None:
        """Return the forward, None where it is damaged."""
        magic, size = _FORWARD.unpack_from(block)
        return cls(size) if magic == _FORWARD_MAGIC and _is_sealed(block) else None

    def encode(self) -> bytes:
        """Return the block."""
        return _sealed(_FORWARD.pack(_FORWARD_MAGIC, self.size))


def digest_of(block: bytes) -> bytes:
    """Return a block's digest of itself."""
    return block[-DIGEST_BYTES:]


def _sealed(fields: bytes) -> bytes:
    block = fields.ljust(BLOCK - DIGEST_BYTES, b"\0")
    return block + blake3(block).digest()


def _is_sealed(block: bytes) -> bool:
    return blake3(block[:-DIGEST_BYTES]).digest() == digest_of(block)
