"""The ordering rules of docs/replica-format.md, each broken in turn: the explorer must notice every one."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import cast
from unittest.mock import patch

from agent.replica import (
    apply,
    chronicle,
    lineage,
    pins,
    point_view,
    position,
    preparation,
    recovery,
)
from agent.replica.applier import Applier
from agent.replica.base_images import BaseReader, BaseWriter
from agent.replica.documents import write_document
from agent.replica.fence import FencedFiles
from agent.replica.history import History
from agent.replica.intent import IntentHeader, IntentWriter
from agent.replica.journal import Redo
from agent.replica.layout import Layout
from agent.replica.overlay import Stroke
from agent.replica.points import PointRecord, write_points
from agent.replica.position import Position
from agent.replica.preparation import Preparation
from agent.replica.sidecar import Sums
from agent.replica.storage import Storage
from agent.replica.undo import UndoWriter
from agent.replica.views import Views
from replikera.blocks.extents import Extents
from replikera.blocks.segment.canonical import Json
from replikera.ports.files import Files
from tests.simulation.mutation import Mutation

_prepare = apply.prepare
_write_base = apply.write_base


def _prepared_after_base(
    storage: Storage, position: Position, redos: Sequence[Redo], now: datetime
) -> Generator[None]:
    with patch.object(apply, "_set_sums", lambda *_: None):
        for _ in _write_base(storage, position, redos, lambda: False):
            yield
    yield from _prepare(storage, position, redos, now)


def _finish_with(steps: str) -> Callable[[Applier, Sequence[PointRecord]], None]:
    """Return a `_finish` that does points (d), position (p) and removal (r) in another order, or leaves one out."""

    def mutated(self: Applier, batch: Sequence[PointRecord]) -> None:
        storage, last = self._storage, batch[-1]
        for step in steps:
            if step == "d":
                write_points(storage.files, storage.layout, batch)
            elif step == "p":
                self._chronicle.move(
                    lambda at: replace(at, sequence=last.sequence, point_id=last.point_id),
                    lambda history: replace(
                        history,
                        below=(*history.below, *batch),
                        above=history.above[len(batch) :],
                        in_doubt=0,
                    ),
                )
            else:
                for record in batch:
                    storage.files.remove(storage.layout.redo_file(record.sequence))
        self._views.end_all()

    return mutated


def _position_before_base(
    storage: Storage,
    position: Position,
    redos: Sequence[Redo],
    should_stop: Callable[[], bool],
    before_writing: Callable[[], None],
) -> Generator[bool, None, bool]:
    last = redos[-1]
    moved = replace(position, sequence=last.header.sequence, point_id=last.footer.point_id)
    storage.files.sync_directory(storage.layout.points)
    write_position(storage.files, storage.layout, replace(moved, counter=position.counter + 8))
    return (yield from _write_base(storage, position, redos, should_stop, before_writing))


def _no_apply_begun(_storage: Storage, history: History) -> History:
    return history


def _before_image_from_the_base(
    self: Preparation, group: preparation._Group, undo: UndoWriter, stroke: Stroke
) -> None:
    """Take the before-image of a later segment of the batch from the base, too."""
    own, disk = group.view(stroke.start, stroke.end), group.disk
    before = memoryview(bytearray(len(own)))
    self._base._images[disk].read_into(before, stroke.start)
    undo.add(disk, stroke.start, before)
    with patch.object(undo, "add", lambda *_, **__: None):
        _change(self, group, undo, stroke)


_change = Preparation._change


def _as_expected(self: BaseReader, disk: int, buffer: memoryview, first: int) -> tuple[Sums, Sums]:
    found, _ = _read_granules(self, disk, buffer, first)
    return found, found


_read_granules = BaseReader.read_granules


def _intact(self: preparation._Group, *arguments: object) -> None:
    _begin_group(self, *arguments)  # type: ignore[arg-type]  # whatever they are, they are passed on
    self.damaged = self.damaged[:0]


_begin_group = preparation._Group.__init__


def _intents_through(wrapper: type["_Passing"]) -> AbstractContextManager[object]:
    def write(files: FencedFiles, paths: Sequence[Path], header: IntentHeader) -> IntentWriter:
        return IntentWriter(cast("FencedFiles", wrapper(files)), paths, header)

    return patch.object(apply, "IntentWriter", write)


class _Passing:
    """Passes everything on."""

    def __init__(self, files: FencedFiles) -> None:
        self._files = files

    def __getattr__(self, name: str) -> object:
        return getattr(self._files, name)


class _WithoutNames(_Passing):
    """Renames do nothing: for positions that are written where they are."""

    def replace(self, source: Path, target: Path) -> None:
        """Do nothing."""


class _WithoutDirectories(_Passing):
    """Directories are never synced."""

    def sync_directory(self, path: Path) -> None:
        """Do nothing."""


_write_position = write_position = position.write_position


def _writing_through(wrapper: type[_Passing]) -> Callable[..., Position]:
    def write(files: FencedFiles, layout: Layout, moved: Position) -> Position:
        return _write_position(cast("FencedFiles", wrapper(files)), layout, moved)

    return write


def _write_over(files: Files, temporary: Path, data: bytes) -> None:
    path = temporary.with_suffix("")
    exists = files.status(path) is not None
    with files.open_write(path) if exists else files.create(path) as file:
        file.truncate(0)
        file.write(data, 0)
        file.sync()


@contextmanager
def _positions_written_through(wrapper: type[_Passing]) -> Iterator[None]:
    write = _writing_through(wrapper)
    with (
        patch.object(lineage, "write_position", write),
        patch.object(chronicle, "write_position", write),
        patch.object(position, "write_position", write),
    ):
        yield


@contextmanager
def _positions_in_place() -> Iterator[None]:
    with (
        _positions_written_through(_WithoutNames),
        patch.object(position, "_write_copy", _write_over),
    ):
        yield


def _undurable_document(files: FencedFiles, path: Path, fields: dict[str, Json]) -> None:
    write_document(cast("FencedFiles", _WithoutDirectories(files)), path, fields)


def _ends(*endings: str) -> Callable[[Path], bool]:
    return lambda path: path.name.endswith(endings)


MUTATIONS = (
    Mutation("redo: content durable before its name", skips_file=_ends(".open")),
    Mutation(
        "redo: name durable before it is acknowledged",
        skips_directory=lambda path: path.name == "journal",
    ),
    Mutation("undo: content durable before its name", skips_file=_ends(".undo.new")),
    Mutation(
        "undo: names durable before the intent",
        skips_directory=lambda path: path.name == "undo",
    ),
    Mutation(
        "intent: content durable before its name",
        skips_file=_ends("intent.0.new", "intent.1.new"),
    ),
    Mutation(
        "intent: name durable before the base is written",
        patched=lambda: _intents_through(_WithoutDirectories),
    ),
    Mutation(
        "intent: sealed before the base is written",
        patched=lambda: patch.object(apply, "prepare", _prepared_after_base),
    ),
    Mutation(
        "intent: what it names is never rebuilt",
        patched=lambda: patch.object(recovery, "_settle_doubt", _no_apply_begun),
    ),
    Mutation(
        "batch: the before-image of a point is the point before it",
        first_seed=5,
        patched=lambda: patch.object(Preparation, "_change", _before_image_from_the_base),
    ),
    Mutation("base: durable before the position", skips_file=_ends(".img")),
    Mutation("base: checksums durable before the position", skips_file=_ends(".sums")),
    Mutation(
        "base: checksums change with it",
        patched=lambda: patch.object(BaseWriter, "set_sums", lambda *_: None),
    ),
    Mutation(
        "base: checksums are compared when it is read",
        patched=lambda: patch.object(BaseReader, "read_granules", _as_expected),
    ),
    Mutation(
        "base: what the image has lost is not zeros",
        patched=lambda: patch.object(
            point_view.PointView, "_summed_beyond", lambda *_: Extents.empty()
        ),
    ),
    Mutation(
        "base: checksums are compared before they are renewed",
        patched=lambda: patch.object(preparation._Group, "__init__", _intact),
    ),
    Mutation(
        "position: after the base",
        patched=lambda: patch.object(apply, "write_base", _position_before_base),
    ),
    Mutation(
        "position: after the points",
        patched=lambda: patch.object(Applier, "_finish", _finish_with("pdr")),
    ),
    Mutation("position: content durable before its name", skips_file=_ends(".0.new", ".1.new")),
    Mutation("position: not in place", first_seed=92, patched=_positions_in_place),
    Mutation(
        "position: name durable before the redo goes",
        patched=lambda: _positions_written_through(_WithoutDirectories),
    ),
    Mutation(
        "redo: goes after the position",
        patched=lambda: patch.object(Applier, "_finish", _finish_with("drp")),
    ),
    Mutation(
        "point: content durable before its name",
        skips_file=lambda path: path.parent.name == "points",
    ),
    Mutation(
        "point: name durable before the position",
        skips_directory=lambda path: path.name == "points",
    ),
    Mutation(
        "a base in doubt is made whole before it is read",
        patched=lambda: patch.object(point_view, "interrupted_apply", lambda *_: None),
    ),
    Mutation(
        "a view ends when the base is about to move",
        first_seed=27,
        patched=lambda: patch.object(Views, "end_all", lambda _self: None),
    ),
    Mutation(
        "names are durable before recovery believes them",
        first_seed=14,
        patched=lambda: patch.object(recovery, "_make_names_durable", lambda _storage: None),
    ),
    Mutation(
        "initial: images named before the position",
        skips_directory=lambda path: path.name.startswith("initial-"),
    ),
    Mutation("pin: content durable before its name", skips_file=_ends("pins.json.new")),
    Mutation(
        "pin: name durable before it is believed",
        patched=lambda: patch.object(pins, "write_document", _undurable_document),
    ),
    Mutation(
        "pin: read again at the start", patched=lambda: patch.object(pins, "_read", lambda *_: ())
    ),
    Mutation(
        "pin: keeps the base as it is",
        first_seed=2,
        patched=lambda: patch.object(pins.Pins, "hold_base", property(lambda _self: False)),
    ),
    Mutation(
        "pin: keeps its point",
        first_seed=124,
        patched=lambda: patch.object(pins.Pins, "sequences", property(lambda _self: frozenset())),
    ),
)
