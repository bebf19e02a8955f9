"""What is seen of records that were painted over each other."""

import random

import numpy as np
import pytest

from agent.replica import overlay
from agent.replica.frames import Frame
from agent.replica.overlay import ZEROS, Overlay, Painter, Stroke, Strokes, paint
from replikera.blocks.segment import RECORD_BYTES, data_record, parse_records, zero_record

KIB = 1 << 10


def strokes(*ranges: tuple[int, int]) -> Strokes:
    """Return ranges whose payloads are numbered in the order of painting."""
    table = np.array(ranges, dtype=np.int64).reshape(-1, 2)
    numbers = np.arange(len(table))
    return Strokes(table[:, 0], table[:, 1], numbers, numbers, numbers)


def seen(*ranges: tuple[int, int]) -> list[tuple[int, int, int]]:
    painted = Overlay(paint(strokes(*ranges)))
    return [(stroke.start, stroke.end, stroke.payload) for stroke in painted.within(0, 1 << 62)]


def frame_of(*records: bytes, payload_offset: int = 10_000) -> Frame:
    table = parse_records(b"".join(records))
    return Frame(table, payload_offset, int(table["stored_length"].sum()))


def test_the_last_one_wins() -> None:
    assert seen((0, 10), (5, 15)) == [(0, 5, 0), (5, 15, 1)]
    assert seen((5, 15), (0, 10)) == [(0, 10, 1), (10, 15, 0)]


def test_a_hole_is_cut_into_what_lies_below() -> None:
    assert seen((0, 30), (10, 20)) == [(0, 10, 0), (10, 20, 1), (20, 30, 0)]


def test_what_is_covered_whole_is_gone() -> None:
    assert seen((10, 20), (30, 40), (0, 50)) == [(0, 50, 2)]


def test_nothing_painted_is_nothing_seen() -> None:
    assert seen() == []


def test_a_range_of_any_length_costs_no_more_than_another() -> None:
    assert seen((0, 1 << 60), (512, 1024)) == [
        (0, 512, 0),
        (512, 1024, 1),
        (1024, 1 << 60, 0),
    ]


@pytest.mark.parametrize("seed", range(30))
def test_it_is_what_painting_one_after_the_other_gives(seed: int) -> None:
    chooser = random.Random(seed)
    size = 400
    ranges = []
    canvas = [-1] * size
    for number in range(chooser.randrange(1, 80)):
        start = chooser.randrange(size - 1)
        end = min(size, start + chooser.choice((1, 2, 7, 64, 300)))
        ranges.append((start, end))
        canvas[start:end] = [number] * (end - start)
    found = [-1] * size
    for start, end, number in seen(*ranges):
        assert found[start:end] == [-1] * (end - start)
        found[start:end] = [number] * (end - start)
    assert found == canvas


def test_ranges_are_clipped_to_what_is_asked_for() -> None:
    painted = Overlay(paint(strokes((0, 10), (20, 30))))
    assert list(painted.within(5, 25)) == [Stroke(5, 10, 0, 0, 0), Stroke(20, 25, 1, 1, 1)]
    assert list(painted.within(10, 20)) == []
    assert list(painted.gaps(5, 40)) == [(10, 10), (30, 10)]
    assert list(painted.gaps(2, 8)) == []
    assert list(painted.gaps(12, 14)) == [(12, 2)]


def test_places_of_records_and_payloads_are_those_in_the_file() -> None:
    first = data_record(0, 0, b"a" * 512)
    other = data_record(1, 4096, b"c" * 512)
    last = data_record(0, 1024, b"b" * 1024)
    frame = frame_of(first, zero_record(0, 512, 512), other, last)
    painter = Painter(2)
    painter.add(frame, log=7)
    mine, theirs = painter.finish()
    table = 10_000 - 4 * RECORD_BYTES
    assert list(mine.within(0, 4096)) == [
        Stroke(0, 512, 7, table, 10_000),
        Stroke(512, 1024, ZEROS, table + RECORD_BYTES, 10_512),
        Stroke(1024, 2048, 7, table + 3 * RECORD_BYTES, 11_024),
    ]
    assert list(theirs.within(0, 8192)) == [Stroke(4096, 4608, 7, table + 2 * RECORD_BYTES, 10_512)]
    assert list(mine.data()) == [(0, 512), (1024, 1024)]
    assert list(mine.covered()) == [(0, 2048)]


def test_painting_in_parts_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [
        frame_of(*(zero_record(0, (number * 7 + step) % 50 * 512, 1024) for step in range(3)))
        for number in range(20)
    ]

    def painted() -> list[Stroke]:
        painter = Painter(1)
        for log, frame in enumerate(frames):
            painter.add(frame, log)
        return list(painter.finish()[0].within(0, 1 << 40))

    whole = painted()
    monkeypatch.setattr(overlay, "MAX_PAINTED", 4)
    assert painted() == whole
