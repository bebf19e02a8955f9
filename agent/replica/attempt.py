"""One attempt to receive one segment."""

from collections.abc import Sequence
from datetime import datetime

from agent.replica.images import create_images, image_paths
from agent.replica.intake import Intake
from agent.replica.journal import OpenSegment
from agent.replica.pieces import Piece
from agent.replica.points import PointRecord, SealedPoint
from agent.replica.storage import Storage
from replikera.blocks.segment import SegmentHeader, SegmentTrailer
from replikera.ports.files import Buffer


class Attempt:
    """Checks and stores what arrives. Nothing of it is a point, whatever happens, before it is sealed."""

    def __init__(self, storage: Storage, header: SegmentHeader, before: PointRecord | None) -> None:
        """`before` is the point that the segment goes on from, None for the initial one."""
        self.header = header
        self._storage = storage
        self._before = before
        self._intake = Intake(header)
        self._sink = (
            InitialSink(storage, header) if before is None else JournalSink(storage, header)
        )

    @property
    def received_records(self) -> int:
        """Return the records that arrived and were right."""
        return self._intake.records

    @property
    def received_bytes(self) -> int:
        """Return the payload bytes that arrived and were right."""
        return self._intake.payload_bytes

    def add(self, records: bytes, payloads: Sequence[Buffer]) -> None:
        """Check a batch, then write it."""
        pieces = self._intake.take(records, payloads)
        self._storage.require_space(sum(len(payload) for payload in payloads))
        self._sink.write(records, payloads, pieces)

    def finish(self, trailer: bytes, chain_digest: bytes, now: datetime) -> PointRecord:
        """Return the point that the segment will be when it is sealed now."""
        return self._record(self._intake.finish(trailer, chain_digest), chain_digest, now)

    def seal(self, trailer: bytes, record: PointRecord) -> None:
        """Make everything that arrived durable."""
        self._sink.seal(trailer, record)

    def discard(self) -> None:
        """Remove everything that arrived; idempotent."""
        self._sink.discard()

    def give_up(self) -> None:
        """Close the files and leave on disk what is there."""
        self._sink.give_up()

    def _record(self, trailer: SegmentTrailer, chain_digest: bytes, now: datetime) -> PointRecord:
        machine = trailer.machine or (self._before.machine if self._before else b"")
        point = SealedPoint(
            generation=self.header.generation,
            sequence=self.header.sequence,
            kind=trailer.kind,
            name=trailer.name,
            capture_started_at=trailer.capture_started_at,
            capture_ended_at=trailer.capture_ended_at,
            sealed_at=now,
            payload_bytes=trailer.payload_bytes,
            chain_digest=chain_digest,
        )
        return PointRecord(point, self.header.previous, trailer.disks, machine)


class JournalSink:
    """Takes a delta into the journal."""

    def __init__(self, storage: Storage, header: SegmentHeader) -> None:
        self._segment = OpenSegment(storage.files, storage.layout, header)

    def write(self, records: bytes, payloads: Sequence[Buffer], _pieces: Sequence[Piece]) -> None:
        """Append the batch as it came."""
        self._segment.add(records, payloads)

    def seal(self, trailer: bytes, record: PointRecord) -> None:
        """Seal the segment: after this it is a point."""
        self._segment.seal(trailer, record.point_id, record.point.sealed_at)

    def give_up(self) -> None:
        """Close the file."""
        self._segment.give_up()

    def discard(self) -> None:
        """Remove the segment."""
        self._segment.discard()


class InitialSink:
    """Takes the initial segment straight into the images of a base that nobody refers to yet."""

    def __init__(self, storage: Storage, header: SegmentHeader) -> None:
        self._files = storage.files
        self._folder = storage.layout.images(header.attempt)
        self._files.remove_tree(self._folder)
        self._files.make_directory(self._folder)
        paths = image_paths(self._folder, len(header.disks), storage.image_format)
        try:
            self._images = create_images(self._files, paths, header.disks, storage.image_format)
        except BaseException:
            self._files.remove_tree(self._folder)
            raise

    def write(self, _records: bytes, _payloads: Sequence[Buffer], pieces: Sequence[Piece]) -> None:
        """Write the pieces; zeros are there already."""
        for piece in pieces:
            if piece.data is not None:
                self._images.paint(piece)

    def seal(self, _trailer: bytes, _record: PointRecord) -> None:
        """Make the images and their names durable. They are the base once the position names them."""
        self._images.close()
        self._files.sync_directory(self._folder)
        self._files.sync_directory(self._folder.parent)

    def give_up(self) -> None:
        """Close the images without making anything durable."""
        self._images.give_up()

    def discard(self) -> None:
        """Remove the images."""
        self._images.give_up()
        self._files.remove_tree(self._folder)
