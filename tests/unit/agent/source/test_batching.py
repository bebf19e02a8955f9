from collections.abc import Iterator, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from agent.hypervisor.interface import HypervisorError
from agent.source.batching import (
    BATCH_BYTES,
    MAX_BATCH_PIECES,
    MAX_PAYLOAD_BYTES,
    START,
    CapturedDisk,
    Piece,
    Position,
    beyond,
    is_zeros,
    plan_batches,
    read_batch,
    read_bytes_of,
)
from replikera.blocks.extents import Extents
from replikera.blocks.segment import (
    MAX_BATCH_RECORDS,
    MAX_RECORD_BYTES,
    Codec,
    DiskGeometry,
    RecordKind,
    parse_records,
    verify_payload,
)
from tests.support.fake_hypervisor import FakeViewDisk

MIB = 1 << 20


def captured(content: bytes, number: int = 0, allocated: Extents | None = None) -> CapturedDisk:
    geometry = DiskGeometry(f"disk-{number}", f"{number}.vhdx", len(content), 512)
    known = Extents.whole(len(content)) if allocated is None else allocated
    return CapturedDisk(number, geometry, FakeViewDisk(content, known), known)


def whole(disk: CapturedDisk) -> list[Extents]:
    return [Extents.whole(disk.geometry.size)]


def planned(
    disks: Sequence[CapturedDisk], extents: Sequence[Extents]
) -> Iterator[tuple[Piece, ...]]:
    return plan_batches(disks, extents, lambda: BATCH_BYTES)


ranges = st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 3000)), max_size=12)


@settings(max_examples=80, deadline=None)
@given(
    first=ranges,
    second=ranges,
    holes=ranges,
    seed=st.integers(0, 9),
    codec=st.sampled_from(Codec),
)
def test_batches_carry_exactly_the_extents_in_order_and_within_their_bounds(
    first: list[tuple[int, int]],
    second: list[tuple[int, int]],
    holes: list[tuple[int, int]],
    seed: int,
    codec: Codec,
) -> None:
    size = 12_000 * 512
    random = Random(seed)
    disks, todo = [], []
    for number, table in enumerate((first, second)):
        extents = Extents.of((at * 512, length * 512) for at, length in table)
        allocated = Extents.whole(size).subtract(
            Extents.of((at * 512, length * 512) for at, length in holes)
        )
        content = bytearray(size)
        for offset, length in extents.intersect(allocated):
            choice = random.random()
            if choice < 0.4:
                content[offset : offset + length] = random.randbytes(length)
            elif choice < 0.7:
                content[offset : offset + length : 4096] = b"\1" * len(
                    range(offset, offset + length, 4096)
                )
            elif length > 80_000:
                content[offset : offset + 512] = random.randbytes(512)
        disks.append(captured(bytes(content), number, allocated))
        todo.append(extents)
    rebuilt, keys = rebuild(disks, todo, codec)
    assert keys == sorted(keys)
    for disk, result, extents in zip(disks, rebuilt, todo, strict=True):
        for offset, length in extents:
            assert result[offset : offset + length] == disk.reader.read(length, offset)
        outside = Extents.whole(size).subtract(extents)
        for offset, length in outside:
            assert result[offset : offset + length] == b"\xff" * length


def rebuild(
    disks: Sequence[CapturedDisk], todo: Sequence[Extents], codec: Codec
) -> tuple[list[bytearray], list[tuple[int, int]]]:
    """Return what a target would make of the batches, on disks full of ones, and the records' places."""
    rebuilt = [bytearray(b"\xff" * disk.geometry.size) for disk in disks]
    keys: list[tuple[int, int]] = []
    reached = START
    for pieces in planned(disks, todo):
        batch = read_batch(pieces, codec)
        assert batch.scanned_bytes <= BATCH_BYTES
        assert len(batch.payloads) <= 8  # what the target accepts
        assert all(0 < len(payload) <= MAX_PAYLOAD_BYTES for payload in batch.payloads)
        assert all(type(payload) is bytes for payload in batch.payloads)  # what gRPC sends
        assert 1 <= batch.record_count <= MAX_BATCH_RECORDS
        assert reached < batch.end
        reached = batch.end
        stored, plain_bytes = b"".join(batch.payloads), 0
        for record in parse_records(batch.records):
            length, offset, number = (int(record[name]) for name in ("length", "offset", "disk"))
            taken = int(record["stored_length"])
            plain = verify_payload(record, stored[:taken])
            stored = stored[taken:]
            keys.append((number, offset))
            is_zero = record["kind"] == RecordKind.ZERO
            plain_bytes += len(plain)
            rebuilt[number][offset : offset + length] = bytes(length) if is_zero else plain
        assert stored == b""
        assert plain_bytes == batch.data_bytes
    return rebuilt, keys


@settings(max_examples=40, deadline=None)
@given(table=ranges, cut=st.integers(0, 30))
def test_a_sweep_can_go_on_behind_any_batch(table: list[tuple[int, int]], cut: int) -> None:
    size = 12_000 * 512
    disks = [captured(Random(1).randbytes(size), number) for number in range(2)]
    todo = [Extents.of((at * 512, length * 512) for at, length in table)] * 2
    ends = [read_batch(pieces, Codec.NONE).end for pieces in planned(disks, todo)]
    position = ends[min(cut, len(ends) - 1)] if ends else START
    rest = beyond(todo, position)
    covered = [mine.subtract(left) for mine, left in zip(todo, rest, strict=True)]
    for number, (done, left) in enumerate(zip(covered, rest, strict=True)):
        assert done.union(left) == todo[number]
        if len(done):
            assert Position(number, int(done.ends[-1])) <= position
        if len(left):
            assert Position(number, int(left.starts[0])) >= position
    assert read_bytes_of(disks, rest) <= read_bytes_of(disks, todo)


def test_a_large_extent_is_sent_as_it_was_read() -> None:
    content = Random(2).randbytes(3 * MIB)
    reads: list[bytes] = []

    class Keeping(FakeViewDisk):
        @override
        def read(self, length: int, offset: int) -> bytes:
            reads.append(super().read(length, offset))
            return reads[-1]

    disk = captured(content)
    disk = CapturedDisk(0, disk.geometry, Keeping(content, disk.allocated), disk.allocated)
    (pieces,) = planned([disk], whole(disk))
    batch = read_batch(pieces, Codec.NONE)

    assert len(batch.payloads) == 3
    assert all(payload is read for payload, read in zip(batch.payloads, reads, strict=True))


def test_small_pieces_share_a_payload() -> None:
    content = Random(3).randbytes(MIB)
    disk = captured(content)
    (pieces,) = planned([disk], [Extents.of((at, 4096) for at in range(0, MIB, 16384))])
    batch = read_batch(pieces, Codec.NONE)

    assert batch.record_count == 64
    assert [len(payload) for payload in batch.payloads] == [64 * 4096]


def test_what_does_not_shrink_is_stored_as_it_is() -> None:
    content = Random(4).randbytes(MIB) + b"text " * (MIB // 5) + bytes(1)
    disk = captured(content)
    (pieces,) = planned([disk], whole(disk))
    batch = read_batch(pieces, Codec.LZ4)
    codecs = [int(record["codec"]) for record in parse_records(batch.records)]
    assert codecs == [Codec.NONE, Codec.LZ4]
    assert batch.data_bytes == 2 * MIB
    assert batch.payload_bytes < 1.1 * MIB


def test_neighbouring_zeros_become_one_record() -> None:
    disk = captured(bytes(4 * MIB))
    (pieces,) = planned([disk], whole(disk))

    (record,) = parse_records(read_batch(pieces, Codec.NONE).records)
    assert (int(record["offset"]), int(record["length"])) == (0, 4 * MIB)


def test_what_is_not_allocated_is_zeros_without_being_read() -> None:
    disk = captured(b"\xee" * (9 * MIB), allocated=Extents.of([(MIB, 4096)]))
    (pieces,) = planned([disk], whole(disk))
    batch = read_batch(pieces, Codec.NONE)

    assert isinstance(disk.reader, FakeViewDisk)
    assert disk.reader.reads == [(4096, MIB)]
    assert batch.scanned_bytes == read_bytes_of([disk], whole(disk)) == 4096
    kinds = [int(record["kind"]) for record in parse_records(batch.records)]
    assert kinds == [RecordKind.ZERO, RecordKind.DATA, RecordKind.ZERO]
    assert batch.end == Position(0, 9 * MIB)


def test_pages_of_zeros_inside_data_are_not_sent() -> None:
    content = Random(5).randbytes(MIB // 4) + bytes(MIB // 2) + Random(6).randbytes(MIB // 4)
    disk = captured(content)
    (pieces,) = planned([disk], whole(disk))
    batch = read_batch(pieces, Codec.NONE)
    assert batch.payload_bytes == MIB // 2
    assert batch.record_count == 3


def test_many_tiny_extents_are_cut_into_batches_by_their_number() -> None:
    count = MAX_BATCH_PIECES + 1
    disk = captured(bytes(count * 1024))
    extents = Extents.of((at * 1024, 512) for at in range(count))
    sizes = [len(pieces) for pieces in planned([disk], [extents])]
    assert sizes == [MAX_BATCH_PIECES, 1]


def test_nothing_to_send_is_no_batch() -> None:
    assert list(planned([captured(bytes(512))], [Extents.empty()])) == []


def test_a_disk_that_gives_less_than_asked_is_an_error() -> None:
    disk = captured(b"x" * 4096)
    short = FakeViewDisk(b"x" * 1000, Extents.whole(4096))
    broken = CapturedDisk(0, disk.geometry, short, disk.allocated)
    (pieces,) = planned([broken], whole(disk))
    with pytest.raises(HypervisorError, match=r"0.vhdx gave 1000 of 4096"):
        read_batch(pieces, Codec.NONE)


def test_no_piece_is_larger_than_a_record_may_be() -> None:
    disk = captured(bytes(4 * MIB))
    (pieces,) = planned([disk], [Extents.of([(512, 3 * MIB)])])
    assert max(piece.length for piece in pieces) <= MAX_RECORD_BYTES
    assert sum(piece.length for piece in pieces) == 3 * MIB


def test_zeros_are_told_from_data() -> None:
    assert is_zeros(bytes(MAX_RECORD_BYTES))
    assert not is_zeros(bytes(511) + b"\1")
