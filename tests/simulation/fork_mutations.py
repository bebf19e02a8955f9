"""The rules about lost redo in docs/replica-format.md, each broken in turn."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from unittest.mock import patch

from agent.replica import apply, recovery
from agent.replica.applier import Applier
from agent.replica.base_images import BaseWriter
from agent.replica.position import Position
from agent.replica.storage import Storage
from replikera.blocks.segment import DiskGeometry
from replikera.durable import remove_durably
from tests.simulation.mutation import Mutation

_set_sums = apply._set_sums
_undo = apply._undo
_roll_back = apply.roll_back


def _set_only_after(storage: Storage, position: Position, base: BaseWriter, side: str) -> None:
    if side == "after":
        _set_sums(storage, position, base, side)


def _undo_and_forget(storage: Storage, base: BaseWriter, sequence: int) -> Iterator[bool]:
    """Take back a point in a base that is never made durable."""
    yield from _undo(storage, base, sequence)
    for closed in (base.flush, base._images.close):
        setattr(base, closed.__name__, lambda: None)
    for file in base._images._files:
        file.sync = lambda: None  # type: ignore[method-assign]  # that is the mutation


def _undo_goes_first(
    storage: Storage, position: Position, last: int, disks: Sequence[DiskGeometry]
) -> Iterator[bool]:
    steps = _roll_back(storage, position, last, disks)
    kept = [path for path in storage.layout.intents if storage.files.status(path) is not None]
    with patch.object(apply, "remove_durably", lambda *_: None):
        yield from steps
    for sequence in range(last, position.sequence, -1):
        remove_durably(storage.files, storage.layout.undo_file(sequence))
    for path in kept:
        remove_durably(storage.files, path)


def _only_forgotten(self: Applier) -> Iterator[bool]:
    self._chronicle.change(lambda history: replace(history, in_doubt=0, must_roll_back=False))
    yield False


FORK_MUTATIONS = (
    Mutation(
        "redo goes on from the point that it names, whatever its number",
        first_seed=3,
        patched=lambda: patch.object(recovery, "_goes_on_from", lambda *_: True),
    ),
    Mutation(
        "roll back: checksums go back with the base",
        first_seed=56,
        patched=lambda: patch.object(apply, "_set_sums", _set_only_after),
    ),
    Mutation(
        "roll back: base and checksums are durable before the intent goes",
        patched=lambda: patch.object(apply, "_undo", _undo_and_forget),
    ),
    Mutation(
        "roll back: the intent goes before the undo",
        first_seed=12,
        patched=lambda: patch.object(apply, "roll_back", _undo_goes_first),
    ),
    Mutation(
        "an apply whose redo is lost is taken back",
        patched=lambda: patch.object(Applier, "roll_back", _only_forgotten),
    ),
)
