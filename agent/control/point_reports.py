"""What the vault is told of recovery points: after a connect the whole list, in pages, then what changed.

Each page of a list says which sequences it covers: of these the vault then knows exactly those that the page has, and a
list that is cut off halfway takes nothing from what was known before. One page is on its way at a time.
What changes meanwhile waits, up to a bound; beyond the bound the whole list is due again, which says the same. Every
page says which point the base is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from agent.control.messages import point_message
from agent.replica.announcements import PointsChanged
from agent.replica.points import SealedPoint
from replikera.wire.v1 import session_pb2, types_pb2

MAX_PAGE_POINTS = 1000
MAX_PAGE_BYTES = 192 * 1024
"""A small part of what a session message may hold; a point takes about 150 bytes unless it has a long name."""

MAX_WAITING_CHANGES = 1000
"""Changes of one protection, new and released, that wait for their page."""

MAX_SEQUENCE = 2**63 - 1

ANSWER_SECONDS = 30.0
"""A page without an answer for so long is given up: its protection waits for its next change."""


@dataclass(slots=True)
class _Watched:
    """`is_whole_list_due`: what the vault knows is replaced. `is_stalled`: the vault did not answer."""

    generation: str
    points: Callable[[], Sequence[SealedPoint]]
    processed: Callable[[], int]
    is_whole_list_due: bool = True
    is_stalled: bool = False
    pages: Iterator[session_pb2.RecoveryPointReport] = field(default_factory=lambda: iter(()))
    new: dict[int, SealedPoint] = field(default_factory=dict)
    released: set[int] = field(default_factory=set)
    is_processed_due: bool = False

    def list_anew(self) -> None:
        self.is_whole_list_due = True
        self.is_stalled = False
        self.drop()

    def drop(self) -> None:
        self.pages = iter(())
        self.new.clear()
        self.released.clear()
        self.is_processed_due = False


class PointReports:
    """The reports of all replicas of this host."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}
        self._number = 0
        self._sent: tuple[int, str, float] | None = None

    def watch(
        self,
        protection_id: str,
        generation: str,
        points: Callable[[], Sequence[SealedPoint]],
        processed: Callable[[], int],
    ) -> None:
        """Report this replica from now on, beginning with its whole list."""
        self._watched[protection_id] = _Watched(generation, points, processed)

    def forget(self, protection_id: str) -> None:
        """Say nothing more of a replica that is gone."""
        self._watched.pop(protection_id, None)
        if self._sent is not None and self._sent[1] == protection_id:
            self._sent = None

    def changed(self, protection_id: str, change: PointsChanged) -> None:
        """Note what changed; never waits. What is told of a forgotten replica is nobody's."""
        watched = self._watched.get(protection_id)
        if watched is None:
            return
        if watched.is_stalled:
            watched.list_anew()
        if watched.is_whole_list_due:
            return
        watched.new.update({point.sequence: point for point in change.points})
        for sequence in change.released:
            watched.new.pop(sequence, None)
            watched.released.add(sequence)
        watched.is_processed_due = True
        if len(watched.new) + len(watched.released) > MAX_WAITING_CHANGES:
            watched.list_anew()

    def restart(self) -> None:
        """Begin again with the whole lists: a new conversation has begun."""
        self._sent = None
        for watched in self._watched.values():
            watched.list_anew()

    def accepted(self, number: int) -> None:
        """Note the vault's answer; one for another page is ignored."""
        if self._sent is not None and self._sent[0] == number:
            self._sent = None

    def take(self, now: float) -> session_pb2.RecoveryPointReport | None:
        """Return the next page, None while the one before is on its way or nothing is due."""
        self._give_up_unanswered(now)
        if self._sent is not None:
            return None
        for protection_id, watched in self._watched.items():
            page = _next_page(protection_id, watched)
            if page is not None:
                return self._send(protection_id, page, now)
        return None

    def _send(
        self, protection_id: str, page: session_pb2.RecoveryPointReport, now: float
    ) -> session_pb2.RecoveryPointReport:
        self._number += 1
        page.number = self._number
        self._sent = (self._number, protection_id, now)
        # Its turn comes again after all others: one long list does not keep them waiting.
        self._watched[protection_id] = self._watched.pop(protection_id)
        return page

    def _give_up_unanswered(self, now: float) -> None:
        if self._sent is None or now - self._sent[2] < ANSWER_SECONDS:
            return
        watched = self._watched[self._sent[1]]
        watched.drop()
        watched.is_stalled = True
        self._sent = None


def _next_page(protection_id: str, watched: _Watched) -> session_pb2.RecoveryPointReport | None:
    page = next(watched.pages, None)
    if page is not None:
        return page
    empty = session_pb2.RecoveryPointReport(
        protection_id=protection_id,
        generation=watched.generation,
        processed_sequence=watched.processed(),
    )
    if watched.is_whole_list_due:
        watched.is_whole_list_due = False
        watched.drop()
        # Newest first: the vault must not take an old point for the latest until the last page arrives.
        watched.pages = _list_pages(empty, reversed(watched.points()))
    elif watched.is_processed_due:
        new, released = list(watched.new.values()), sorted(watched.released)
        watched.drop()
        watched.pages = _change_pages(empty, new, released)
    return next(watched.pages, None)


def _list_pages(
    empty: session_pb2.RecoveryPointReport, newest_first: Iterable[SealedPoint]
) -> Iterator[session_pb2.RecoveryPointReport]:
    """Yield pages that cover all sequences together; without a point it is one."""
    covers_to = MAX_SEQUENCE
    chunks = _paged(newest_first)
    chunk: list[types_pb2.RecoveryPoint] | None = next(chunks, [])
    while chunk is not None:
        following = next(chunks, None)
        covers_from = 1 if following is None else chunk[-1].sequence
        yield _page(empty, chunk, covers_from=covers_from, covers_to=covers_to)
        chunk, covers_to = following, covers_from - 1


def _change_pages(
    empty: session_pb2.RecoveryPointReport, new: Iterable[SealedPoint], released: Sequence[int]
) -> Iterator[session_pb2.RecoveryPointReport]:
    """Yield the pages; what is released is said on the first, which may have no points."""
    chunks = _paged(new)
    yield _page(empty, next(chunks, []), released=released)
    for chunk in chunks:
        yield _page(empty, chunk)


def _page(
    empty: session_pb2.RecoveryPointReport,
    points: Sequence[types_pb2.RecoveryPoint],
    *,
    released: Sequence[int] = (),
    covers_from: int = 0,
    covers_to: int = 0,
) -> session_pb2.RecoveryPointReport:
    page = session_pb2.RecoveryPointReport(
        points=points, released=released, covers_from=covers_from, covers_to=covers_to
    )
    page.MergeFrom(empty)
    return page


def _paged(points: Iterable[SealedPoint]) -> Iterator[list[types_pb2.RecoveryPoint]]:
    page: list[types_pb2.RecoveryPoint] = []
    size = 0
    for point in points:
        message = point_message(point)
        length = message.ByteSize()
        if page and (len(page) == MAX_PAGE_POINTS or size + length > MAX_PAGE_BYTES):
            yield page
            page, size = [], 0
        page.append(message)
        size += length
    if page:
        yield page
