"""Segments in the journal."""

import pytest

from agent.replica.frames import Window
from agent.replica.journal import open_redo
from agent.replica.pieces import Piece
from replikera.blocks.segment import SegmentFormatError
from tests.support.lineages import LineageBench
from tests.support.segments import Write

WRITES = (Write(0, 0, b"a" * 512), Write(0, 512, 1024), Write(1, 512, b"b" * 1024))


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver(Write(0, 0, b"x" * 512))
    return bench


def pieces(bench: LineageBench) -> list[Piece]:
    window = Window()
    with open_redo(bench.files, bench.layout.redo_file(2)) as redo:
        return [
            piece._replace(data=None if piece.data is None else memoryview(bytes(piece.data)))
            for frame in redo.frames()
            for piece in frame.pieces(redo.file, window)
        ]


def test_a_sealed_segment_is_what_arrived(bench: LineageBench) -> None:
    record = bench.deliver(*WRITES)
    assert [(piece.disk, piece.offset, piece.length) for piece in pieces(bench)] == [
        (0, 0, 512),
        (0, 512, 1024),
        (1, 512, 1024),
    ]
    with open_redo(bench.files, bench.layout.redo_file(2)) as redo:
        assert redo.footer.point_id == record.point_id
        assert redo.footer.previous == redo.header.previous == record.previous
        assert redo.footer.sealed_at == bench.now(2)
        assert (redo.footer.records, redo.footer.payload_bytes) == (3, 1536)
        assert redo.trailer.records == 3


def test_it_is_durable_when_it_is_sealed(bench: LineageBench) -> None:
    bench.deliver(*WRITES)
    assert bench.files.pending() == []


def test_nobody_finds_an_open_one(bench: LineageBench) -> None:
    segment = bench.segment(WRITES)
    opened = bench.begin(segment)
    names = bench.files.list_directory(bench.layout.journal)
    assert names == [bench.layout.open_file(2, 1).name]
    bench.lineage.deltas.discard(opened)
    bench.lineage.deltas.discard(opened)
    assert bench.files.list_directory(bench.layout.journal) == []


def test_every_flipped_bit_is_noticed(bench: LineageBench) -> None:
    bench.deliver(*WRITES)
    path = bench.layout.redo_file(2)
    size = bench.files.read_bytes(path, limit=1 << 20)
    for place in range(0, len(size), 5):
        bench.damage(path, place)
        with pytest.raises(SegmentFormatError):
            pieces(bench)
        bench.damage(path, place)
    assert len(pieces(bench)) == 3


def test_the_end_of_another_segment_is_noticed(bench: LineageBench) -> None:
    bench.deliver(*WRITES)
    bench.deliver(*WRITES)
    second, third = (bench.layout.redo_file(number) for number in (2, 3))
    data = bench.files.read_bytes(third, limit=1 << 20)
    with bench.files.open_write(second) as file:
        file.write(data[-512:], file.size() - 512)
    with pytest.raises(SegmentFormatError, match="disagree"):
        pieces(bench)


def test_frames_in_another_order_are_noticed(bench: LineageBench) -> None:
    bench.deliver(Write(0, 0, b"a" * 512), Write(1, 0, b"b" * 512))
    path = bench.layout.redo_file(2)
    with open_redo(bench.files, path) as redo:
        first, second = redo.frames()
    # Prefix, one record and its payload: each frame is right by itself.
    length = 32 + 48 + 512
    data = bench.files.read_bytes(path, limit=1 << 20)
    start = first.payload_offset - 80
    assert second.payload_offset - first.payload_offset == length
    swapped = data[start + length : start + 2 * length] + data[start : start + length]
    with bench.files.open_write(path) as file:
        file.write(swapped, start)
    with pytest.raises(SegmentFormatError, match="digest it was sealed by"):
        pieces(bench)
