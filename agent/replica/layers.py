"""Which files lie over the base on the way to a point, and what is seen of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from agent.replica.history import History
from agent.replica.journal import open_redo
from agent.replica.layout import UNDO, Layout
from agent.replica.overlay import Overlay, Painter
from agent.replica.undo import open_undo
from replikera.blocks.segment import SegmentFormatError
from replikera.ports.files import Files


class Layer(NamedTuple):
    """The redo or undo of a point."""

    sequence: int
    path: Path


def layers_of(layout: Layout, base: int, point: int) -> list[Layer]:
    """Return the files between a whole base and a point, in the order in which they are painted."""
    back = [Layer(n, layout.undo_file(n)) for n in range(base, point, -1)]
    forward = [Layer(n, layout.redo_file(n)) for n in range(base + 1, point + 1)]
    return back + forward


def paint_layers(
    files: Files, history: History, layers: Sequence[Layer], painter: Painter, first: int = 0
) -> tuple[Overlay, ...]:
    """Return what is seen of the layers on every disk; the log of a stroke is the place of its layer, from `first` on.

    Raises `SegmentFormatError` where one of them is not what was sealed.
    """
    for log, layer in enumerate(layers, first):
        opened = open_undo if layer.path.suffix == UNDO else open_redo
        with opened(files, layer.path) as source:
            record = history.find(layer.sequence)
            if record is not None and record.point_id != source.footer.point_id:
                raise SegmentFormatError(
                    f"{layer.path.name} is not that of point {record.sequence}"
                )
            for frame in source.frames():
                painter.add(frame, log)
    return painter.finish()
