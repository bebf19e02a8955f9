"""What a target in memory has received: an open segment, or the base that an initial pass fills."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from replikera.blocks.segment import (
    NO_POINT,
    ChainDigest,
    ChunkDigest,
    Codec,
    RecordKind,
    SegmentHeader,
    parse_records,
    verify_payload,
)
from replikera.wire.v1 import replication_pb2 as wire

_PAGE = 4096


@dataclass(repr=False)
class Segment:
    header: SegmentHeader
    chain: ChainDigest
    disks: list[bytearray]
    records: int = 0
    payload_bytes: int = 0
    payload_lengths: list[int] = field(default_factory=list)
    zero_records: int = 0
    codecs: set[Codec] = field(default_factory=set)
    resumed: list[int] = field(default_factory=list)
    is_sealed: bool = False

    def take(self, batch: wire.Batch, payloads: Sequence[bytes]) -> None:
        self.payload_lengths += batch.payload_lengths
        self.chain.add_records(batch.records)
        records, zeros, codecs = store(batch, payloads, self.disks)
        self.records += records
        self.zero_records += zeros
        self.codecs |= codecs
        self.payload_bytes += sum(batch.payload_lengths)

    def copy(self) -> "Segment":
        return Segment(
            self.header,
            self.chain.copy(),
            [bytearray(disk) for disk in self.disks],
            self.records,
            self.payload_bytes,
            list(self.payload_lengths),
            self.zero_records,
            set(self.codecs),
            list(self.resumed),
        )


def store(
    batch: wire.Batch, payloads: Sequence[bytes], disks: list[bytearray]
) -> tuple[int, int, set[Codec]]:
    """Write a batch; return its records, those of zeros, and codecs. Records of one disk must ascend."""
    assert [len(payload) for payload in payloads] == list(batch.payload_lengths)
    stored = memoryview(b"".join(payloads))
    reached: dict[int, int] = {}
    zeros, codecs, records = 0, set(), parse_records(batch.records)
    for record in records:
        disk, length, offset = (int(record[name]) for name in ("disk", "length", "offset"))
        assert offset >= reached.get(disk, 0)
        assert offset + length <= len(disks[disk])
        reached[disk] = offset + length
        data = stored[: int(record["stored_length"])]
        stored = stored[len(data) :]
        plain = verify_payload(record, data)
        is_zero = record["kind"] == RecordKind.ZERO
        zeros += int(is_zero)
        if not is_zero:
            codecs.add(Codec(int(record["codec"])))
        disks[disk][offset : offset + length] = bytes(length) if is_zero else bytes(plain)
    assert not stored
    return len(records), zeros, codecs


@dataclass(repr=False)
class FilledBase:
    """The initial pass. `disks` may hold more than what is durable."""

    header: SegmentHeader
    disks: list[bytearray]
    is_seeded: bool
    chunk: int = 0
    digest: bytes = NO_POINT
    watermarks: tuple[int, ...] = ()
    records: int = 0
    payload_bytes: int = 0
    received_records: int = 0
    received_bytes: int = 0
    open: ChunkDigest | None = None
    number: int = 0
    chunk_bytes: list[int] = field(default_factory=list)
    zero_records: int = 0
    codecs: set[Codec] = field(default_factory=set)
    counted: tuple[int, int, bytes] = (0, 0, NO_POINT)
    durable_disks: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.durable_disks = [bytes(disk) for disk in self.disks]

    def begin(self) -> None:
        """A conversation begins: of what is not durable every other page is lost, and nothing is counted."""
        for disk, durable in zip(self.disks, self.durable_disks, strict=True):
            for page in range(0, len(disk), 2 * _PAGE):
                disk[page : page + _PAGE] = durable[page : page + _PAGE]
        self.number = self.chunk
        self.open = None
        self.received_records = self.received_bytes = 0
        self.counted = (self.records, self.payload_bytes, self.digest)

    def begin_chunk(self, number: int) -> None:
        assert self.open is None
        assert number == self.number + 1
        self.number = number
        self.open = ChunkDigest(self.header, number, self.counted[2])
        self.chunk_bytes.append(0)

    def take(self, batch: wire.Batch, payloads: Sequence[bytes]) -> None:
        assert self.open is not None
        self.open.add_records(batch.records)
        records, zeros, codecs = store(batch, payloads, self.disks)
        size = sum(batch.payload_lengths)
        self.received_records += records
        self.received_bytes += size
        self.chunk_bytes[-1] += size
        self.zero_records += zeros
        self.codecs |= codecs
        self.counted = (
            self.counted[0] + records,
            self.counted[1] + size,
            self.counted[2],
        )

    def end_chunk(self, ending: wire.ChunkEnd) -> None:
        assert self.open is not None
        watermarks = tuple(ending.watermarks)
        assert self.open.finish(watermarks) == ending.digest
        sizes = [disk.size for disk in self.header.disks]
        assert all(
            before <= after <= size
            for before, after, size in zip(self.watermarks, watermarks, sizes, strict=True)
        )
        self.open = None
        self.watermarks = watermarks
        self.durable_disks = [bytes(disk) for disk in self.disks]
        self.chunk, self.digest = self.number, ending.digest
        self.counted = (*self.counted[:2], ending.digest)
        self.records, self.payload_bytes = self.counted[:2]
