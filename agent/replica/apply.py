"""Brings the base one point forward, or back to the point it was.

The order is the promise: undo sealed, base durable, point and position durable, redo dropped. Each step is
durable before the next begins, and each may be repeated after a crash, except that a sealed undo is never rebuilt.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from agent.replica.frames import Window
from agent.replica.images import ImageSet
from agent.replica.journal import Redo
from agent.replica.storage import Storage
from agent.replica.undo import Undo, open_undo, write_undo
from replikera.blocks.segment import DiskGeometry
from replikera.durable import remove_durably


def prepare(storage: Storage, redo: Redo, attempt: int, now: datetime) -> Iterator[None]:
    """Verify the segment and seal its undo; the base of `attempt` stays as it is."""
    # As much undo as payload, and as much growth of the base, at worst.
    storage.require_space(2 * redo.footer.payload_bytes)
    yield from verify(redo)
    with storage.open_base(attempt, redo.header.disks) as images:
        yield from write_undo(storage.files, storage.layout, redo, images, now)


def verify(redo: Redo) -> Iterator[None]:
    """Raise `SegmentFormatError` unless all of the segment is what was sealed."""
    window = Window()
    for frame in redo.frames():
        for _ in frame.pieces(redo.file, window):
            pass
        yield


def write_base(storage: Storage, redo: Redo, attempt: int) -> Iterator[None]:
    """Write the segment into the base and make that durable."""
    with storage.open_base(attempt, redo.header.disks, is_writable=True) as images:
        yield from paint(images, redo)


def roll_back(
    storage: Storage, attempt: int, disks: Sequence[DiskGeometry], sequence: int
) -> Iterator[None]:
    """Make a base that may be half of point `sequence` the point before it again, durably.

    Safe over a base that is whole, too: the undo holds exactly what is there.
    """
    path = storage.layout.undo_file(sequence)
    with (
        open_undo(storage.files, path) as undo,
        storage.open_base(attempt, disks, is_writable=True) as images,
    ):
        yield from paint(images, undo)
    remove_durably(storage.files, path)


def paint(images: ImageSet, log: Redo | Undo) -> Iterator[None]:
    """Write every piece of a redo or undo to its disk, a frame at a time."""
    window = Window()
    for frame in log.frames():
        for piece in frame.pieces(log.file, window):
            images.paint(piece)
        yield
