"""Where the initial pass arrives: at most one, that is left and gone on with until its base is the first point."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import structlog

from agent.replica.accepted import AcceptedReplica
from agent.replica.admission import admit_pass
from agent.replica.base_images import BaseWriter
from agent.replica.chronicle import Chronicle
from agent.replica.initial_pass import InitialPass
from agent.replica.messages import Range
from agent.replica.pass_file import PassState
from agent.replica.points import PointRecord
from agent.replica.refusals import refusal
from agent.replica.seeds import SeedCopy
from agent.replica.storage import Storage
from replikera.blocks.segment import SegmentFormatError, SegmentHeader
from replikera.ports.files import Buffer
from replikera.vhdx import VhdxError

log = structlog.get_logger(__name__)


class Passes:
    """Keeps the newest pass. Blocking; one caller at a time. Every method raises `ReplicaError`.

    The images are open only while a conversation fills them.
    """

    def __init__(
        self,
        storage: Storage,
        chronicle: Chronicle,
        accepted: Callable[[], AcceptedReplica],
        found: PassState | None,
    ) -> None:
        """Go on with the pass that recovery found."""
        self._storage = storage
        self._chronicle = chronicle
        self._accepted = accepted
        self._state = found
        self._seeding: tuple[SegmentHeader, SeedCopy] | None = None
        self._open: InitialPass | None = None

    @property
    def state(self) -> PassState | None:
        """Return how far the newest pass is durable, None where there is none."""
        return self._state

    def begin(self, encoded: bytes) -> InitialPass:
        """Open the pass of this header where it is durable, or a new one; an older pass is removed.

        `fill` comes next.
        """
        with self._chronicle.errors():
            header = admit_pass(encoded, self._accepted(), self._chronicle.history)
            self._check_attempt(header)
            self.give_up()
            self._storage.require_space(0)
            self._open = self._found(header) or self._half_filled(header) or self._new(header)
            return self._open

    def fill(self, initial: InitialPass) -> Generator[None]:
        """Make a new pass ready to be sent, a piece at a time; may be left and begun again."""
        with self._opened(initial):
            yield from initial.fill()
            self._state, self._seeding = initial.state, None

    def begin_chunk(self, initial: InitialPass, number: int) -> None:
        """Begin the next chunk."""
        with self._opened(initial):
            initial.begin_chunk(number)

    def add(self, initial: InitialPass, records: bytes, payloads: Sequence[Buffer]) -> None:
        """Check a batch of the open chunk and write it. One that is refused changes nothing."""
        with self._opened(initial):
            initial.add(records, payloads)

    def end_chunk(
        self, initial: InitialPass, watermarks: Sequence[int], digest: bytes
    ) -> PassState:
        """Make the open chunk durable; return how far the pass is then."""
        with self._opened(initial):
            self._state = state = initial.end_chunk(watermarks, digest)
            return state

    def digests(self, initial: InitialPass, ranges: Sequence[Range]) -> Generator[bytes]:
        """Digest ranges of the images, a window at a time; the last thing yielded is all digests."""
        with self._opened(initial):
            yield from initial.digests(ranges)

    def seal(
        self, initial: InitialPass, trailer: bytes, chain_digest: bytes, now: datetime
    ) -> PointRecord:
        """Make the base of the pass the first point, durably."""
        with self._opened(initial):
            record = initial.finish(trailer, chain_digest, now)
            self._open = None
            try:
                initial.close()
                self._chronicle.begin(record, initial.header.attempt)
            finally:
                initial.give_up()
            self._state = None
            return record

    def leave(self, initial: InitialPass) -> None:
        """Close the images of a pass that nobody fills now; one that is not open is no error."""
        if self._open is not initial:
            return
        self._open = None
        try:
            with self._chronicle.errors():
                # Durable, or the space of what the tables do not name yet would be lost.
                initial.close()
        finally:
            initial.give_up()

    def abandon(self, number: int) -> None:
        """Remove the pass if its attempt is not above this one."""
        if self._newest_attempt() <= number:
            self.give_up()
            self._remove()

    def give_up(self) -> None:
        """Close the images that are open, without making anything durable."""
        initial, self._open = self._open, None
        if initial is not None:
            initial.give_up()

    def _check_attempt(self, header: SegmentHeader) -> None:
        if header.attempt < self._newest_attempt():
            raise refusal(header, "stale-attempt", "a later pass is open")
        state = self._state
        if state is not None and header.attempt == state.attempt and header.disks != state.disks:
            raise refusal(header, "stale-attempt", "it was begun with other disks")

    def _newest_attempt(self) -> int:
        begun = self._seeding[0].attempt if self._seeding is not None else 0
        return max(begun, self._state.attempt if self._state is not None else 0)

    def _found(self, header: SegmentHeader) -> InitialPass | None:
        """Return the pass that is durable, open, None where there is none that can be gone on with."""
        state = self._state
        if state is None or state.attempt != header.attempt:
            return None
        writer = self._reopened(header)
        if writer is None:
            return None
        return InitialPass(self._storage, header, writer, state, self._seeds(header))

    def _half_filled(self, header: SegmentHeader) -> InitialPass | None:
        """Return the pass whose seeds this process has begun to copy, None where there is none."""
        if self._seeding is None:
            return None
        begun, seeding = self._seeding
        if begun != header or seeding.seeds != self._accepted().seeds:
            return None
        writer = self._reopened(header)
        if writer is None:
            return None
        return InitialPass(self._storage, header, writer, None, seeding)

    def _new(self, header: SegmentHeader) -> InitialPass:
        self._remove()
        seeding = self._seeds(header)
        writer = self._storage.create_base(header.attempt, header.disks)
        self._seeding = header, seeding
        return InitialPass(self._storage, header, writer, None, seeding)

    def _seeds(self, header: SegmentHeader) -> SeedCopy:
        seeds = self._accepted().seeds
        return SeedCopy(self._storage.files, self._storage.seed_folder, header.disks, seeds)

    def _reopened(self, header: SegmentHeader) -> BaseWriter | None:
        try:
            return self._storage.open_base_for_writing(header.attempt, header.disks)
        except (SegmentFormatError, VhdxError, FileNotFoundError) as error:
            log.warning(
                "initial pass begins anew",
                protection=header.protection_id,
                attempt=header.attempt,
                cause=str(error),
            )
            return None

    @contextmanager
    def _opened(self, initial: InitialPass) -> Iterator[None]:
        with self._chronicle.errors():
            if self._open is not initial:
                raise refusal(initial.header, "stale-attempt", "this pass is not open any more")
            yield

    def _remove(self) -> None:
        """Remove the images of every pass that was begun here."""
        attempts = {self._seeding[0].attempt} if self._seeding is not None else set()
        if self._state is not None:
            attempts.add(self._state.attempt)
        self._state = self._seeding = None
        for attempt in attempts:
            self._storage.files.remove_tree(self._storage.layout.images(attempt))
