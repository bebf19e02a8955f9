"""The ordering rules of docs/replica-format.md, each broken in turn: the explorer must notice every one."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast
from unittest.mock import patch

from agent.replica import apply, lineage, materialise, position, recovery
from agent.replica.fence import FencedFiles
from agent.replica.history import History
from agent.replica.journal import Redo, open_redo
from agent.replica.layout import Layout
from agent.replica.lineage import Lineage
from agent.replica.points import PointRecord, write_point
from agent.replica.position import Position
from agent.replica.storage import Storage
from replikera.ports.files import Files
from tests.support.crash_files import CrashFile, CrashFiles


@dataclass(frozen=True)
class Mutation:
    """A rule that is broken, by leaving out syncs or by other code in the place of the right one.

    `first_seed` is where the search begins: what was found at once last time is found at once.
    """

    rule: str
    first_seed: int = 0
    skips_file: Callable[[Path], bool] = lambda _path: False
    skips_directory: Callable[[Path], bool] = lambda _path: False
    patched: Callable[[], AbstractContextManager[object]] = nullcontext

    def wrap(self, files: CrashFiles) -> Files:
        """Return the file system of the mutated replica; the crash states stay the real one's."""
        return cast("Files", _Forgetful(files, self))


class _Forgetful:
    """Passes everything on but the syncs that a mutation leaves out."""

    def __init__(self, files: CrashFiles, mutation: Mutation) -> None:
        self._files = files
        self._mutation = mutation

    def __getattr__(self, name: str) -> object:
        return getattr(self._files, name)

    def sync_directory(self, path: Path) -> None:
        if not self._mutation.skips_directory(path):
            self._files.sync_directory(path)

    def create(self, path: Path, *, mode: int = 0o600) -> CrashFile:
        return self._forgetful(cast("CrashFile", self._files.create(path, mode=mode)))

    def open_write(self, path: Path) -> CrashFile:
        return self._forgetful(cast("CrashFile", self._files.open_write(path)))

    def _forgetful(self, file: CrashFile) -> CrashFile:
        if self._mutation.skips_file(file.path):
            file.sync = lambda: None  # type: ignore[method-assign]  # that is the mutation
        return file


def _undo_after_base(storage: Storage, redo: Redo, attempt: int, now: datetime) -> Iterator[None]:
    yield from apply.write_base(storage, redo, attempt)
    yield from _prepare(storage, redo, attempt, now)


_prepare = apply.prepare


def _apply_with(steps: str) -> Callable[[Lineage, History, PointRecord, datetime], Iterator[None]]:
    """Return an `apply` that does base (b), position (p) and removal (r) in another order."""

    def mutated(
        self: Lineage, history: History, record: PointRecord, now: datetime
    ) -> Iterator[None]:
        storage, attempt = self._storage, history.position.initial_attempt
        path = storage.layout.redo_file(record.sequence)
        with open_redo(storage.files, path) as redo:
            if not history.is_interrupted:
                yield from apply.prepare(storage, redo, attempt, now)
            write_point(storage.files, storage.layout, record)
            for step in steps:
                if step == "b":
                    yield from apply.write_base(storage, redo, attempt)
                elif step == "p":
                    self._advance(record)
                else:
                    storage.files.remove(path)

    return mutated


def _ignore_undo(_storage: Storage, history: History) -> History:
    return history


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


_write_position = position.write_position


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
        "undo: name durable before the base is written",
        skips_directory=lambda path: path.name == "undo",
    ),
    Mutation(
        "undo: sealed before the base is written",
        patched=lambda: patch.object(apply, "prepare", _undo_after_base),
    ),
    Mutation(
        "undo: never rebuilt", patched=lambda: patch.object(recovery, "_settle_undo", _ignore_undo)
    ),
    Mutation("base: durable before the position", skips_file=_ends(".img")),
    Mutation(
        "position: after the base",
        patched=lambda: patch.object(Lineage, "_apply", _apply_with("pbr")),
    ),
    Mutation("position: content durable before its name", skips_file=_ends(".0.new", ".1.new")),
    Mutation("position: not in place", first_seed=12, patched=_positions_in_place),
    Mutation(
        "position: name durable before the redo goes",
        patched=lambda: _positions_written_through(_WithoutDirectories),
    ),
    Mutation(
        "redo: goes after the position",
        patched=lambda: patch.object(Lineage, "_apply", _apply_with("brp")),
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
        "an interrupted base is read through its undo",
        patched=lambda: patch.object(
            materialise, "highest_undo", lambda history: history.position.sequence
        ),
    ),
    Mutation(
        "names are durable before recovery believes them",
        first_seed=6,
        patched=lambda: patch.object(recovery, "_make_names_durable", lambda _storage: None),
    ),
    Mutation(
        "initial: images named before the position",
        skips_directory=lambda path: path.name.startswith("initial-"),
    ),
)
