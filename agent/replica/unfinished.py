"""What an earlier process was receiving: kept where a source can go on with it, removed where nobody can."""

from contextlib import suppress
from dataclasses import dataclass

from agent.replica.accepted import AcceptedReplica
from agent.replica.admission import check_place
from agent.replica.attempt import Attempt, find_attempt
from agent.replica.errors import ReplicaError
from agent.replica.history import History
from agent.replica.layout import OPEN, image_attempts, open_attempts
from agent.replica.open_segment import read_open_header
from agent.replica.pass_file import PassState, read_pass
from agent.replica.storage import Storage
from replikera.blocks.segment import SegmentFormatError


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The open segment, or before the first point the pass; None where there is none."""

    attempt: Attempt | None = None
    state: PassState | None = None


def find_unfinished(storage: Storage, accepted: AcceptedReplica, history: History) -> Unfinished:
    """Return the newest of each that goes on from the head and was not abandoned; remove all others."""
    state = None if history.position.sequence else _newest_pass(storage, history)
    attempt = _newest_attempt(storage, accepted, history)
    _remove_segments(storage, attempt)
    _remove_images(storage, history, state)
    return Unfinished(attempt, state)


def _newest_pass(storage: Storage, history: History) -> PassState | None:
    files, layout = storage.files, storage.layout
    for number in reversed(image_attempts(files.list_directory(layout.folder))):
        if number < history.head.attempt_floor:
            break
        # A process that was killed may have left a state whose name is only visible.
        files.sync_directory(layout.images(number))
        with suppress(SegmentFormatError, FileNotFoundError, ValueError):
            return read_pass(files, layout, number)
    return None


def _newest_attempt(
    storage: Storage, accepted: AcceptedReplica, history: History
) -> Attempt | None:
    if history.newest is None:
        return None
    names = storage.files.list_directory(storage.layout.journal)
    for sequence, number in reversed(open_attempts(names)):
        with suppress(SegmentFormatError, FileNotFoundError, ReplicaError):
            header = read_open_header(storage.files, storage.layout, sequence, number)
            check_place(header, accepted, history)
            return find_attempt(storage, header)
    return None


def _remove_segments(storage: Storage, kept: Attempt | None) -> None:
    layout = storage.layout
    name = "" if kept is None else layout.open_file(kept.header.sequence, kept.header.attempt).name
    for other in storage.files.list_directory(layout.journal):
        if other.endswith(OPEN) and other != name:
            storage.files.remove(layout.journal / other)


def _remove_images(storage: Storage, history: History, state: PassState | None) -> None:
    layout, position = storage.layout, history.position
    kept = position.initial_attempt if position.sequence else state.attempt if state else None
    name = "" if kept is None else layout.images(kept).name
    for other in storage.files.list_directory(layout.folder):
        if layout.is_images(other) and other != name:
            storage.files.remove_tree(layout.folder / other)
    if position.sequence:
        with suppress(FileNotFoundError):
            storage.files.remove(layout.pass_file(position.initial_attempt))
