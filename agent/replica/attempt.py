"""One attempt to receive one segment."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from agent.replica.intake import Intake
from agent.replica.open_segment import OpenSegment, create_segment, find_segment
from agent.replica.points import PointRecord, SealedPoint
from agent.replica.storage import Storage
from replikera.blocks.segment import SegmentHeader, SegmentTrailer
from replikera.ports.files import Buffer


class Attempt:
    """Checks and stores what arrives. Nothing of it is a point, whatever happens, before it is sealed."""

    def __init__(
        self, storage: Storage, header: SegmentHeader, segment: OpenSegment, *, is_found: bool
    ) -> None:
        """Take the segment that `begin_attempt` or `find_attempt` opened."""
        self.header = header
        self._storage = storage
        self._intake = Intake(header)
        self._segment = segment
        self._is_read = not is_found

    @property
    def is_read(self) -> bool:
        """Tell whether it is known what an earlier process received; only then more may come."""
        return self._is_read

    @property
    def received_records(self) -> int:
        """Return the records that arrived and were right."""
        return self._intake.records

    @property
    def received_bytes(self) -> int:
        """Return the payload bytes that arrived and were right."""
        return self._intake.payload_bytes

    @property
    def durable_records(self) -> int:
        """Return the records that survive a crash."""
        return self._segment.durable_records

    def read_again(self) -> Iterator[None]:
        """Take what an earlier process received; may be left and begun again."""
        if not self._is_read:
            yield from self._segment.read_again(self._intake)
            self._is_read = True

    def add(self, records: bytes, payloads: Sequence[Buffer]) -> None:
        """Check a batch, then write it."""
        self._intake.take(records, payloads)
        self._storage.require_space(sum(len(payload) for payload in payloads))
        self._segment.add(records, payloads)

    def sync(self) -> None:
        """Return when every batch that was added before the call is durable. Any thread."""
        self._segment.sync()

    def finish(
        self, trailer: bytes, chain_digest: bytes, before: PointRecord, now: datetime
    ) -> PointRecord:
        """Return the point that the segment will be, after the point before it, when it is sealed now."""
        found = self._intake.finish(trailer, chain_digest)
        return record_of(self.header, found, chain_digest, before.machine, now)

    def seal(self, trailer: bytes, record: PointRecord) -> None:
        """Make everything that arrived durable: after this it is a point."""
        self._segment.seal(trailer, record.point_id, record.point.sealed_at)

    def discard(self) -> None:
        """Remove everything that arrived; idempotent."""
        self._segment.discard()

    def give_up(self) -> None:
        """Close the file and leave on disk what is there."""
        self._segment.close()


def begin_attempt(storage: Storage, header: SegmentHeader) -> Attempt:
    """Begin to receive a segment."""
    segment = create_segment(storage.files, storage.layout, header)
    return Attempt(storage, header, segment, is_found=False)


def find_attempt(storage: Storage, header: SegmentHeader) -> Attempt:
    """Open what an earlier process received of a segment; `read_again` comes first."""
    segment = find_segment(storage.files, storage.layout, header)
    return Attempt(storage, header, segment, is_found=True)


def record_of(
    header: SegmentHeader,
    trailer: SegmentTrailer,
    chain_digest: bytes,
    machine_before: bytes,
    now: datetime,
) -> PointRecord:
    """Return the point of a header and a trailer, sealed now."""
    point = SealedPoint(
        generation=header.generation,
        sequence=header.sequence,
        kind=trailer.kind,
        name=trailer.name,
        capture_started_at=trailer.capture_started_at,
        capture_ended_at=trailer.capture_ended_at,
        sealed_at=now,
        payload_bytes=trailer.payload_bytes,
        chain_digest=chain_digest,
    )
    return PointRecord(point, header.previous, trailer.disks, trailer.machine or machine_before)
