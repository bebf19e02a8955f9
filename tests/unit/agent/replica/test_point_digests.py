"""What is told of a point to compare it or to prove it."""

import hashlib

import pytest
from blake3 import blake3

from agent.replica import point_digests
from agent.replica.errors import ReplicaError
from agent.replica.point_digests import DiskDigest, PointDigests, Range, range_digests
from tests.support.lineages import LineageBench
from tests.support.segments import Write


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench(sizes=(65536, 8192))
    bench.deliver_many(4)
    bench.deliver(Write(0, 60000 // 512 * 512, b"end!" * 128))
    bench.apply(2)
    return bench


def digests_of(bench: LineageBench, sequence: int, *ranges: Range) -> bytes:
    with bench.lineage.open_view(sequence) as view:
        return list(range_digests(view, ranges))[-1]


def test_ranges_are_digested_in_the_order_of_asking(
    bench: LineageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(point_digests, "STEP_BYTES", 2048)
    ranges = [(0, 0, 4096), (1, 512, 1024), (0, 32768, 4096), (0, 59904, 512)]
    for sequence in bench.sequences:
        content = bench.contents[sequence]
        expected = [blake3(content[d][o : o + length]).digest() for d, o, length in ranges]
        assert digests_of(bench, sequence, *ranges) == b"".join(expected)
    assert digests_of(bench, 1) == b""


@pytest.mark.parametrize(
    "wrong",
    [
        (2, 0, 512),
        (-1, 0, 512),
        (0, -512, 512),
        (0, 65536, 512),
        (0, 0, 0),
        (0, 1, 512),
        (0, 0, 2 << 20),
    ],
)
def test_ranges_outside_the_disks_are_refused(bench: LineageBench, wrong: Range) -> None:
    with pytest.raises(ReplicaError) as raised:
        digests_of(bench, 1, wrong)
    assert raised.value.code == "out-of-bounds"


def test_more_ranges_than_fit_a_request_are_refused(bench: LineageBench) -> None:
    with pytest.raises(ReplicaError, match="256 at most"):
        digests_of(bench, 1, *[(0, 0, 512)] * 257)


def expected(bench: LineageBench, sequence: int) -> tuple[DiskDigest, ...]:
    return tuple(
        DiskDigest(disk.disk_id, disk.name, disk.size, hashlib.sha256(content).digest())
        for disk, content in zip(bench.disks, bench.contents[sequence], strict=True)
    )


def test_a_whole_point_is_digested_in_slices_while_the_base_moves(
    bench: LineageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(point_digests, "STEP_BYTES", 1024)
    monkeypatch.setattr(point_digests, "SLICE_BYTES", 4096)
    digests = PointDigests(bench.disks)
    slices = 0
    while digests.digests is None:
        with bench.lineage.open_view(4) as view:
            for _ in digests.take(view):
                pass
        slices += 1
        bench.apply(1)
    assert slices >= 18
    assert digests.digests == expected(bench, 4)
    assert (digests.done_bytes, digests.total_bytes) == (65536 + 8192, 65536 + 8192)


def test_zeros_are_digested_without_reading_them(
    bench: LineageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    with bench.lineage.open_view(4) as view:
        read_into = view.read_into

        def counted(disk: int, buffer: memoryview, offset: int) -> None:
            read.append(len(buffer))
            read_into(disk, buffer, offset)

        monkeypatch.setattr(view, "read_into", counted)
        digests = PointDigests(bench.disks)
        for _ in digests.take(view):
            pass
    assert digests.digests == expected(bench, 4)
    assert sum(read) < 16384
