"""Segments in parts that fit memory."""

from contextlib import ExitStack

import numpy as np
import pytest

from agent.replica import slices
from agent.replica.journal import Redo, open_redo
from agent.replica.log_reader import DamagedLogError
from agent.replica.overlay import ZEROS
from agent.replica.sidecar import GRANULE_BYTES
from agent.replica.slices import Slice, slices_of
from tests.support.lineages import LineageBench
from tests.support.segments import Write

SIZE = 8 * GRANULE_BYTES


def parts(bench: LineageBench, *sequences: int) -> list[Slice]:
    with ExitStack() as stack:
        redos: list[Redo] = [
            stack.enter_context(open_redo(bench.files, bench.layout.redo_file(sequence)))
            for sequence in sequences
        ]
        return list(slices_of(redos, 2))


def ranges(part: Slice) -> list[list[tuple[int, int]]]:
    return [[(stroke.start, stroke.end) for stroke in strokes] for strokes in part.strokes]


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "MIN_SLICE_RECORDS", 1)


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench(sizes=(SIZE, SIZE))
    bench.deliver()
    return bench


def test_a_single_segment_is_cut_at_whole_granules(bench: LineageBench) -> None:
    # Each record is in a frame of its own.
    bench.deliver(
        Write(0, 0, b"a" * 512),
        Write(0, 1024, b"b" * 512),
        Write(1, 512, 512),
        Write(0, GRANULE_BYTES - 512, b"c" * (GRANULE_BYTES + 1024)),
        Write(0, 5 * GRANULE_BYTES, b"d" * GRANULE_BYTES),
    )
    found = parts(bench, 2)
    assert [part.disk for part in found] == [0, 0, 1]
    granule = GRANULE_BYTES
    assert ranges(found[0]) == [
        [(0, 512), (1024, 1536), (granule - 512, 2 * granule)],
    ]
    assert ranges(found[1]) == [[(2 * granule, 2 * granule + 512), (5 * granule, 6 * granule)]]
    assert ranges(found[2]) == [[(512, 1024)]]
    (strokes,) = found[2].strokes
    assert strokes.logs.tolist() == [ZEROS]


def test_no_granule_is_in_two_slices(bench: LineageBench) -> None:
    bench.deliver(*(Write(0, 3072 * number, b"x" * 1536) for number in range(150)))
    seen: set[int] = set()
    total = 0
    for part in parts(bench, 2):
        (strokes,) = part.strokes
        granules = set((strokes.starts // GRANULE_BYTES).tolist())
        assert not granules & seen
        seen |= granules
        total += strokes.extents().total()
    assert total == 150 * 1536


def test_a_batch_is_one_slice_a_disk_with_its_segments_in_order(bench: LineageBench) -> None:
    bench.deliver(Write(0, 0, b"a" * 512), Write(1, 0, b"a" * 512))
    bench.deliver(Write(0, 512, b"b" * 512))
    bench.deliver(Write(0, 0, 4096))
    first, second = parts(bench, 2, 3, 4)
    assert ranges(first) == [[(0, 512)], [(512, 1024)], [(0, 4096)]]
    assert ranges(second) == [[(0, 512)], [], []]
    assert [strokes.logs.tolist() for strokes in first.strokes] == [[0], [1], [ZEROS]]


def test_an_empty_segment_has_no_slices(bench: LineageBench) -> None:
    bench.deliver()
    bench.deliver()
    assert parts(bench, 2) == []
    assert parts(bench, 2, 3) == []


@pytest.mark.parametrize("together", [False, True])
def test_damaged_records_are_told_by_their_segment(bench: LineageBench, *, together: bool) -> None:
    for mark in (b"a", b"b"):
        bench.deliver(Write(0, 0, mark * 512))
    path = bench.layout.redo_file(3)
    data = bench.files.read_bytes(path, limit=1 << 20)
    bench.damage(path, data.index(b"RKFR") + 40)
    with pytest.raises(DamagedLogError) as raised:
        parts(bench, *((2, 3) if together else (3,)))
    assert raised.value.log == (1 if together else 0)


def test_a_batch_of_much_data_is_cut_at_whole_granules(
    bench: LineageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "MAX_SLICE_BYTES", 2 * GRANULE_BYTES)
    for mark in (b"a", b"b"):
        bench.deliver(
            *(Write(0, number * GRANULE_BYTES, mark * GRANULE_BYTES) for number in range(6))
        )
    found = parts(bench, 2, 3)
    assert len(found) > 3
    for part in found:
        for strokes in part.strokes:
            assert strokes.extents().total() <= 3 * GRANULE_BYTES
    starts = np.concatenate([part.strokes[0].starts for part in found])
    assert (starts // GRANULE_BYTES).tolist() == [0, 1, 2, 3, 4, 5]
    bench.apply(together=2)
    bench.assert_all_points_are_right()


def test_frames_of_a_single_segment_are_gathered(
    bench: LineageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = [Write(0, number * GRANULE_BYTES // 2, b"x" * 512) for number in range(16)]
    bench.deliver(*writes)
    assert len(parts(bench, 2)) == 8
    monkeypatch.setattr(slices, "MIN_SLICE_RECORDS", 6)
    assert [len(part.strokes[0]) for part in parts(bench, 2)] == [4, 6, 6]
    monkeypatch.setattr(slices, "MIN_SLICE_RECORDS", 100)
    assert len(parts(bench, 2)) == 1
    monkeypatch.setattr(slices, "MIN_SLICE_BYTES", 512 * 8)
    assert [len(part.strokes[0]) for part in parts(bench, 2)] == [6, 8, 2]
