"""Which files lie between a base and a point."""

import pytest

from agent.replica.layers import Layer, layers_of, paint_layers
from agent.replica.overlay import ZEROS, Painter
from replikera.blocks.segment import SegmentFormatError
from tests.support.lineages import LineageBench
from tests.support.segments import Write


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver(Write(0, 0, b"a" * 2048))
    bench.deliver(Write(0, 512, b"b" * 512), Write(1, 0, b"b" * 512))
    bench.deliver(Write(0, 512, 1024))
    return bench


def test_undo_leads_down_and_redo_up(bench: LineageBench) -> None:
    layout = bench.layout
    assert layers_of(layout, 5, 3) == [Layer(5, layout.undo_file(5)), Layer(4, layout.undo_file(4))]
    assert layers_of(layout, 3, 5) == [Layer(4, layout.redo_file(4)), Layer(5, layout.redo_file(5))]
    assert layers_of(layout, 4, 4) == []


def test_the_layer_that_is_painted_last_is_seen(bench: LineageBench) -> None:
    layers = layers_of(bench.layout, 1, 3)
    first, second = paint_layers(bench.files, bench.lineage.history, layers, Painter(2))
    assert [(s.start, s.end, s.log) for s in first.within(0, 4096)] == [(512, 1536, ZEROS)]
    assert [(s.start, s.end, s.log) for s in second.within(0, 4096)] == [(0, 512, 0)]


def test_a_layer_of_another_point_is_refused(bench: LineageBench) -> None:
    layer = Layer(2, bench.layout.redo_file(3))
    with pytest.raises(SegmentFormatError, match="not that of point 2"):
        paint_layers(bench.files, bench.lineage.history, [layer], Painter(2))
