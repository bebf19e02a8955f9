"""Where segments arrive: the newest end of the history, a delta at a time."""

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from datetime import datetime

from agent.replica.accepted import AcceptedReplica
from agent.replica.admission import admit
from agent.replica.attempt import Attempt, begin_attempt
from agent.replica.chronicle import Chronicle
from agent.replica.errors import ReplicaError
from agent.replica.points import PointRecord
from agent.replica.refusals import refusal
from agent.replica.storage import Storage
from replikera.ports.files import Buffer


class Deltas:
    """Keeps one segment open at most, also between two conversations and through a restart.

    Blocking. One caller at a time, except for `sync`. Every method raises `ReplicaError`.
    """

    def __init__(
        self,
        storage: Storage,
        chronicle: Chronicle,
        accepted: Callable[[], AcceptedReplica],
        found: Attempt | None,
    ) -> None:
        """Go on with the segment that recovery found open."""
        self._storage = storage
        self._chronicle = chronicle
        self._accepted = accepted
        self._open = found

    @property
    def open_attempt(self) -> Attempt | None:
        """Return what is open and can be gone on with, None where nothing is."""
        return self._open if self._open is not None and self._open.is_read else None

    def read_again(self) -> Generator[None]:
        """Read what an earlier process received, a frame at a time; may be left and begun again."""
        with self._chronicle.errors():
            if self._open is not None and self._chronicle.damage is not None:
                self._discard()
            if self._open is not None:
                yield from self._open.read_again()

    def begin(self, encoded: bytes) -> Attempt:
        """Open the segment that goes on from the head; an attempt that was open is removed."""
        with self._chronicle.errors():
            self._require_sound()
            header = admit(encoded, self._accepted(), self._chronicle.history)
            if self._open is not None and header.attempt < self._open.header.attempt:
                raise refusal(header, "stale-attempt", "a later attempt is open")
            self._discard()
            self._storage.require_space(0)
            self._open = begin_attempt(self._storage, header)
            return self._open

    def resume(self, number: int, records: int) -> Attempt:
        """Go on with the open attempt of this number behind its records, all of them durable."""
        with self._chronicle.errors():
            self._require_sound()
            attempt = self.open_attempt
            if attempt is None or attempt.header.attempt != number:
                raise self._not_open(number)
            if not records == attempt.durable_records == attempt.received_records:
                raise refusal(
                    attempt.header,
                    "stale-attempt",
                    f"attempt {number} goes on behind record {attempt.durable_records}, not {records}",
                )
            return attempt

    def add(self, attempt: Attempt, records: bytes, payloads: Sequence[Buffer]) -> None:
        """Check and store a batch. One that is refused changes nothing; a failed write ends the attempt."""
        self._require_open(attempt)
        try:
            with self._chronicle.errors():
                attempt.add(records, payloads)
        except ReplicaError as error:
            self._end_unless_refused(error)
            raise

    def sync(self, attempt: Attempt) -> None:
        """Return when what was added before is durable. Any thread; does nothing for one that is not open any more."""
        with self._chronicle.errors():
            attempt.sync()

    def seal(
        self, attempt: Attempt, trailer: bytes, chain_digest: bytes, now: datetime
    ) -> PointRecord:
        """Make the segment a point, durably. One whose end is refused is given up."""
        before = self._require_open(attempt)
        try:
            with self._chronicle.errors():
                record = attempt.finish(trailer, chain_digest, before, now)
        except ReplicaError:
            # Its end is known now and does not fit: whatever else is sent of it cannot, either.
            self._end()
            raise
        try:
            with self._chronicle.errors():
                attempt.seal(trailer, record)
                self._chronicle.append(record)
        except ReplicaError as error:
            self._end_unless_refused(error)
            raise
        self._open = None
        return record

    def discard(self, attempt: Attempt) -> None:
        """Remove what an attempt received; one that is not open any more is no error."""
        if self._open is attempt:
            with self._chronicle.errors():
                self._discard()

    def abandon(self, number: int) -> None:
        """Remove the open attempt if its number is not above this one."""
        if self._open is not None and self._open.header.attempt <= number:
            self._discard()

    def give_up(self) -> None:
        """Close what is open and leave on the disk what is there."""
        attempt, self._open = self._open, None
        if attempt is not None:
            attempt.give_up()

    def _require_sound(self) -> None:
        if self._chronicle.damage is not None:
            # The point that the open attempt goes on from cannot be reached any more.
            with self._chronicle.errors():
                self._discard()
            self._chronicle.require_sound()

    def _require_open(self, attempt: Attempt) -> PointRecord:
        """Return the point before. Raises `ReplicaError` where nothing may be added to the attempt."""
        self._require_sound()
        before = self._chronicle.history.newest
        if self._open is not attempt or before is None:
            raise refusal(attempt.header, "stale-attempt", "this attempt is not open any more")
        return before

    def _not_open(self, number: int) -> ReplicaError:
        head = self._chronicle.history.head
        return ReplicaError(
            "stale-attempt",
            f"Attempt {number} of segment {head.sequence + 1} of {self._accepted().machine_name} is not open here.",
            "The source begins the segment again.",
        )

    def _end_unless_refused(self, error: ReplicaError) -> None:
        """End the attempt that the storage failed; what a peer did wrong leaves it open."""
        if (
            self._chronicle.failure is not None
            or isinstance(error.__cause__, OSError)
            or error.code == "disk-full"
        ):
            self._end()

    def _end(self) -> None:
        if self._chronicle.failure is not None:
            # Whether it became a point is for the next start to read from the disk: remove nothing.
            self.give_up()
            return
        with suppress(OSError):
            self._discard()

    def _discard(self) -> None:
        attempt, self._open = self._open, None
        if attempt is not None:
            attempt.discard()
