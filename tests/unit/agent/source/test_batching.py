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
    CapturedDisk,
    plan_batches,
    read_batch,
)
from replikera.blocks.extents import Extents
from replikera.blocks.segment import (
    MAX_RECORD_BYTES,
    DiskGeometry,
    RecordKind,
    parse_records,
    verify_payload,
)
from tests.support.fake_hypervisor import FakeViewDisk


def captured(content: bytes, extents: Extents, number: int = 0) -> CapturedDisk:
    geometry = DiskGeometry(f"disk-{number}", f"{number}.vhdx", len(content), 512)
    return CapturedDisk(number, geometry, FakeViewDisk(content, extents), extents)


ranges = st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 3000)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(first=ranges, second=ranges, seed=st.integers(0, 9), keep_zeros=st.booleans())
def test_batches_carry_exactly_the_extents_in_order_and_within_their_bounds(
    first: list[tuple[int, int]], second: list[tuple[int, int]], seed: int, keep_zeros: bool
) -> None:
    size = 12_000 * 512
    random = Random(seed)
    disks = []
    for number, table in enumerate((first, second)):
        extents = Extents.of((at * 512, length * 512) for at, length in table)
        content = bytearray(size)
        for offset, length in extents:
            if random.random() < 0.6:
                content[offset : offset + length] = random.randbytes(length)
        disks.append(captured(bytes(content), extents, number))
    rebuilt = [bytearray(b"\xff" * size) for _ in disks]
    keys = []
    for pieces in plan_batches(disks):
        batch = read_batch(pieces, keep_zeros=keep_zeros)
        assert batch.scanned_bytes <= BATCH_BYTES
        assert len(batch.payloads) <= 8  # what the target accepts
        assert all(0 < len(payload) <= MAX_PAYLOAD_BYTES for payload in batch.payloads)
        stored = b"".join(batch.payloads)
        for record in parse_records(batch.records) if batch.records else ():
            length, offset, number = (int(record[name]) for name in ("length", "offset", "disk"))
            data, stored = (
                stored[: int(record["stored_length"])],
                stored[int(record["stored_length"]) :],
            )
            verify_payload(record, data)
            keys.append((number, offset))
            is_zero = record["kind"] == RecordKind.ZERO
            rebuilt[number][offset : offset + length] = bytes(length) if is_zero else data
        assert stored == b""
    assert keys == sorted(keys)
    for disk, result in zip(disks, rebuilt, strict=True):
        for offset, length in disk.extents:
            wanted = disk.reader.read(length, offset)
            if keep_zeros:
                assert result[offset : offset + length] == wanted
            else:
                filled = result[offset : offset + length].replace(b"\xff" * 512, bytes(512))
                assert filled == wanted


def test_a_large_extent_is_sent_as_it_was_read() -> None:
    content = Random(2).randbytes(3 << 20)
    disk = captured(content, Extents.whole(len(content)))
    reads: list[bytes] = []

    class Keeping(FakeViewDisk):
        @override
        def read(self, length: int, offset: int) -> bytes:
            reads.append(super().read(length, offset))
            return reads[-1]

    disk = CapturedDisk(0, disk.geometry, Keeping(content, disk.extents), disk.extents)
    (pieces,) = plan_batches([disk])
    batch = read_batch(pieces, keep_zeros=False)

    assert len(batch.payloads) == 3
    assert all(payload is read for payload, read in zip(batch.payloads, reads, strict=True))


def test_small_pieces_share_a_payload() -> None:
    content = Random(3).randbytes(1 << 20)
    extents = Extents.of((at, 4096) for at in range(0, 1 << 20, 16384))
    (pieces,) = plan_batches([captured(content, extents)])
    batch = read_batch(pieces, keep_zeros=True)

    assert batch.record_count == 64
    assert [len(payload) for payload in batch.payloads] == [64 * 4096]


def test_neighbouring_zeros_become_one_record() -> None:
    content = bytes(4 << 20)
    (pieces,) = plan_batches([captured(content, Extents.whole(len(content)))])

    (record,) = parse_records(read_batch(pieces, keep_zeros=True).records)
    assert (int(record["offset"]), int(record["length"])) == (0, 4 << 20)
    assert read_batch(pieces, keep_zeros=False).record_count == 0


def test_many_tiny_extents_are_cut_into_batches_by_their_number() -> None:
    count = MAX_BATCH_PIECES + 1
    extents = Extents.of((at * 1024, 512) for at in range(count))
    sizes = [len(pieces) for pieces in plan_batches([captured(bytes(count * 1024), extents)])]
    assert sizes == [MAX_BATCH_PIECES, 1]


def test_nothing_to_send_is_no_batch() -> None:
    assert list(plan_batches([captured(bytes(512), Extents.empty())])) == []


def test_a_disk_that_gives_less_than_asked_is_an_error() -> None:
    content = b"x" * 4096
    short = FakeViewDisk(content[:1000], Extents.whole(4096))
    disk = captured(content, Extents.whole(4096))
    (pieces,) = plan_batches([CapturedDisk(0, disk.geometry, short, disk.extents)])
    with pytest.raises(HypervisorError, match=r"0.vhdx gave 1000 of 4096"):
        read_batch(pieces, keep_zeros=True)


def test_no_piece_is_larger_than_a_record_may_be() -> None:
    extents = Extents.of([(512, 3 << 20)])
    (pieces,) = plan_batches([captured(bytes(4 << 20), extents)])
    assert max(piece.length for piece in pieces) <= MAX_RECORD_BYTES
    assert sum(piece.length for piece in pieces) == 3 << 20
