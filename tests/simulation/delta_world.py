"""A source sends deltas to a target that crashes: what was told durable of an open one stays, and is gone on with."""

from collections.abc import Sequence

from typing_extensions import override

from agent.replica.attempt import Attempt
from agent.replica.images import ImageFormat
from agent.replica.lineage import Arriving, Lineage
from replikera.blocks.segment import RECORD_BYTES, Codec
from tests.simulation.crash_world import SECTOR, CrashWorld, content_of
from tests.simulation.replica_checker import Wrap
from tests.simulation.replica_explorer import as_it_is
from tests.simulation.replica_promises import Contents
from tests.support.lineages import send_pass
from tests.support.segments import (
    GENERATION,
    STARTED,
    Segment,
    Write,
    build_segment,
    disks_of,
    painted,
)

MAX_SECTORS = 6
"""Written by one delta on each disk."""


class DeltaWorld(CrashWorld):
    """One segment after the other; the source has its own view of each until it is sealed."""

    def __init__(
        self,
        seed: int,
        image_format: ImageFormat,
        *,
        sizes: Sequence[int],
        share: float,
        wrap: Wrap = as_it_is,
    ) -> None:
        """Begin with a point."""
        super().__init__(seed, image_format, share=share, wrap=wrap)
        self._disks = disks_of(*sizes)
        self._contents: Contents = tuple(bytes(size) for size in sizes)
        self._sequence = 1
        self._attempt = 1
        self._floor = 0
        self._is_sealing = False
        self._open_attempt: Attempt | None = None
        self.files.before = None
        send_pass(self.lineage, self._disks, [], STARTED)
        self.files.before = self._before
        self._attempts: set[int] = set()
        self._take_view()

    @override
    def act(self) -> None:
        """Do one thing of a conversation, or let time pass."""
        if self._open_attempt is None:
            self.chooser.choice((self._converse, self._converse, self.lose_power))()
            return
        actions = [*[self._add] * 5, *[self._sync] * 2, self._leave, self.lose_power]
        actions += [self._begin_later, self._abandon] if self.chooser.random() < 0.3 else []
        actions += [self._seal] * 5 if self._sent == self._batches else []
        self.chooser.choice(actions)()

    @override
    def restarted(self) -> None:
        """Lose the conversation; learn whether the segment was sealed."""
        self._open_attempt = None
        if self._is_sealing and self.lineage.history.head.sequence == self._sequence + 1:
            self._acknowledge()
        self._is_sealing = False

    @override
    def failed(self) -> None:
        """End the conversation, as after a refusal: what the storage refused is given up."""
        self._open_attempt = None
        self._is_sealing = False
        if self.lineage.deltas.open_attempt is None:
            self._durable = 0

    @override
    def check(self, lineage: Lineage) -> None:
        """Check what is durable; then let the source finish the segment."""
        sequence = lineage.history.head.sequence
        assert self._sequence <= sequence <= self._sequence + self._is_sealing, "a point is gone"
        content = self._next if sequence > self._sequence else self._contents
        assert content_of(lineage, sequence) == content, "other content"
        if sequence > self._sequence:
            return
        arriving = self._arriving(lineage)
        self._check_arriving(arriving)
        attempt = self._attempt + 1
        begun, sent = None, 0
        if arriving.attempt == self._attempt and self.chooser.random() < 0.8:
            attempt, sent = self._attempt, arriving.durable_records
            begun = lineage.deltas.resume(attempt, sent)
        segment = self._segment_of(attempt)
        begun = begun or lineage.deltas.begin(segment.header)
        for number in range(sent, self._batches):
            lineage.deltas.add(begun, *_batch(segment, number))
        lineage.deltas.seal(begun, segment.trailer, segment.chain_digest, STARTED)
        assert content_of(lineage, sequence + 1) == self._next, "the resumed segment is another"

    def _check_arriving(self, arriving: Arriving) -> None:
        assert arriving.attempt in {0, *self._attempts}, "an attempt that nobody began"
        assert not arriving.attempt or arriving.attempt >= self._floor, "an abandoned one is back"
        if self._durable:
            assert arriving.attempt == self._attempt, "the open segment is gone"
            assert arriving.durable_records >= self._durable, "durable records are gone"
        if arriving.attempt == self._attempt:
            # A file that was removed may be back: of one attempt all have the same beginning.
            assert arriving.durable_records <= self._reached, "more than was sent"

    @staticmethod
    def _arriving(lineage: Lineage) -> Arriving:
        for _ in lineage.deltas.read_again():
            pass
        return lineage.arriving()

    def _take_view(self) -> None:
        """Let the guest write, and begin to think of the next segment."""
        self._writes = [
            Write(disk, sector * SECTOR, self._data())
            for disk, geometry in enumerate(self._disks)
            for sector in sorted(
                self.chooser.sample(
                    range(geometry.size // SECTOR), self.chooser.randint(0, MAX_SECTORS)
                )
            )
        ]
        self._codec = self.chooser.choice(list(Codec))
        self._head = self.lineage.history.head
        self._next = painted(self._contents, self._writes)
        self._batches = len(self._writes)
        self._begin_anew(1)

    def _data(self) -> bytes | int:
        kind = self.chooser.randrange(3)
        if kind == 0:
            return SECTOR
        return self.chooser.randbytes(16) * 32 if kind == 1 else self.chooser.randbytes(SECTOR)

    def _begin_anew(self, attempt: int) -> None:
        self._attempt = attempt
        self._attempts.add(attempt)
        self._sent = self._reached = self._durable = 0

    def _segment_of(self, attempt: int) -> Segment:
        return build_segment(
            self._head, self._disks, self._writes, attempt=attempt, codec=self._codec
        )

    def _converse(self) -> None:
        """Open the replica, and go on with what it has or begin."""
        arriving = self._arriving(self.lineage)
        self._check_arriving(arriving)
        if arriving.attempt == self._attempt:
            self._sent = self._durable = arriving.durable_records
            self._open_attempt = self.lineage.deltas.resume(self._attempt, self._sent)
        else:
            self._begin()

    def _begin(self) -> None:
        self._sent = self._durable = 0
        self._open_attempt = self.lineage.deltas.begin(self._segment_of(self._attempt).header)

    def _add(self) -> None:
        if self._sent < self._batches and self._open_attempt is not None:
            batch = _batch(self._segment_of(self._attempt), self._sent)
            self._sent += 1
            self._reached = max(self._reached, self._sent)
            self.lineage.deltas.add(self._open_attempt, *batch)

    def _sync(self) -> None:
        assert self._open_attempt is not None
        self.lineage.deltas.sync(self._open_attempt)
        self._durable = self._open_attempt.durable_records
        assert self._durable == self._sent

    def _leave(self) -> None:
        self._sync()
        self._open_attempt = None

    def _begin_later(self) -> None:
        self._begin_anew(self._attempt + 1)
        self._begin()

    def _abandon(self) -> None:
        abandoned, self._open_attempt = self._attempt, None
        self._begin_anew(abandoned + 1)
        floor = self.lineage.abandon(GENERATION, self._sequence + 1, abandoned)
        assert floor > abandoned
        self._floor = floor

    def _seal(self) -> None:
        assert self._open_attempt is not None
        self._is_sealing, opened = True, self._open_attempt
        segment = self._segment_of(self._attempt)
        self._open_attempt, self._durable = None, 0
        self.lineage.deltas.seal(opened, segment.trailer, segment.chain_digest, STARTED)
        self._acknowledge()

    def _acknowledge(self) -> None:
        self._is_sealing = False
        self._sequence, self._contents = self._sequence + 1, self._next
        self._floor, self._attempts = 0, set()
        self._take_view()


def _batch(segment: Segment, number: int) -> tuple[bytes, list[bytes]]:
    """Return one record as a batch of its own."""
    records = [
        segment.records[start : start + RECORD_BYTES]
        for start in range(0, len(segment.records), RECORD_BYTES)
    ]
    has_payload = [record[4:8] != bytes(4) for record in records]
    place = sum(has_payload[:number])
    return records[number], [segment.payloads[place]] if has_payload[number] else []
