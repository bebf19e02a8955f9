"""A replica on a file system in memory, with the content that each of its points must have."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch

from agent.replica import batch
from agent.replica.attempt import Attempt
from agent.replica.images import ImageFormat
from agent.replica.layout import Layout
from agent.replica.lineage import Lineage, create_lineage, open_lineage
from agent.replica.points import PointRecord
from replikera.blocks.segment import RECORD_BYTES, Codec, DiskGeometry, parse_records
from tests.support.crash_files import CrashFiles
from tests.support.raw_images import RawImages
from tests.support.segments import (
    ACCEPTED,
    PROTECTION,
    STARTED,
    Chunk,
    Segment,
    Write,
    build_chunk,
    build_pass_end,
    build_segment,
    disks_of,
    explicit,
    painted,
    pass_header,
)

ROOT = Path("/replicas")
OUT = Path("/out")


def send_pass(
    lineage: Lineage,
    disks: tuple[DiskGeometry, ...],
    writes: Sequence[Write],
    now: datetime,
    *,
    attempt: int = 1,
) -> PointRecord:
    """Make the first point of these writes, a chunk a disk; goes on with a pass that is there."""
    passes, header = lineage.passes, pass_header(lineage.history.head, disks, attempt=attempt)
    initial = passes.begin(header.encode())
    for _ in passes.fill(initial):
        pass
    for disk, geometry in enumerate(disks):
        state = initial.state
        assert state is not None
        marks = [*state.watermarks]
        marks[disk] = geometry.size
        chunk = build_chunk(
            header,
            explicit(disk, geometry.size, writes),
            number=state.chunk + 1,
            previous=state.digest,
            watermarks=tuple(marks),
        )
        passes.begin_chunk(initial, chunk.number)
        for records, payloads in batches(chunk):
            passes.add(initial, records, payloads)
        passes.end_chunk(initial, chunk.watermarks, chunk.digest)
    state = initial.state
    assert state is not None
    trailer, chain_digest = build_pass_end(
        header, state.digest, records=state.records, payload_bytes=state.payload_bytes
    )
    return passes.seal(initial, trailer, chain_digest, now)


def batches(
    sent: Segment | Chunk, *, is_one: bool = False
) -> Iterator[tuple[bytes, Sequence[bytes]]]:
    """Yield each record in a batch of its own, or all in one."""
    if is_one:
        yield sent.records, sent.payloads
        return
    rest = iter(sent.payloads)
    for start in range(0, len(sent.records), RECORD_BYTES):
        record = sent.records[start : start + RECORD_BYTES]
        is_data = parse_records(record)[0]["stored_length"] > 0
        yield record, [next(rest)] if is_data else []


class LineageBench:
    """Delivers segments, applies them and reads points back."""

    def __init__(
        self, *, sizes: Sequence[int] = (4096, 2048), image_format: ImageFormat | None = None
    ) -> None:
        self.files = CrashFiles()
        for folder in (ROOT, OUT):
            self.files.make_directory(folder)
        self.files.sync_directory(Path("/"))
        self.layout = Layout(ROOT / PROTECTION)
        self.disks = disks_of(*sizes)
        self.contents: dict[int, tuple[bytes, ...]] = {0: tuple(bytes(size) for size in sizes)}
        self._format = image_format or RawImages()
        self.lineage: Lineage = create_lineage(
            self.files, self.layout.folder, ACCEPTED, self._format
        )

    @property
    def sequences(self) -> list[int]:
        return [point.sequence for point in self.lineage.history.points]

    def now(self, sequence: int) -> datetime:
        return STARTED + timedelta(hours=sequence)

    def segment(
        self,
        writes: Sequence[Write],
        *,
        attempt: int = 1,
        name: str = "",
        codec: Codec = Codec.NONE,
    ) -> Segment:
        head = self.lineage.history.head
        return build_segment(head, self.disks, writes, attempt=attempt, name=name, codec=codec)

    def begin(self, segment: Segment) -> Attempt:
        """Send everything but the trailer, each record in a batch of its own."""
        attempt = self.lineage.deltas.begin(segment.header)
        for records, payloads in batches(segment):
            self.lineage.deltas.add(attempt, records, payloads)
        return attempt

    def deliver(
        self, *writes: Write, attempt: int = 1, name: str = "", codec: Codec = Codec.NONE
    ) -> PointRecord:
        """Deliver the segment of these writes, or the pass; it is sealed at the hour of its sequence."""
        sequence = self.lineage.history.head.sequence + 1
        content = painted(self.contents[sequence - 1], writes)
        if sequence == 1:
            record = send_pass(self.lineage, self.disks, writes, self.now(1), attempt=attempt)
        else:
            segment = self.segment(writes, attempt=attempt, name=name, codec=codec)
            opened = self.begin(segment)
            record = self.lineage.deltas.seal(
                opened, segment.trailer, segment.chain_digest, self.now(sequence)
            )
        self.contents[sequence] = content
        return record

    def deliver_many(self, count: int) -> None:
        """Deliver segments that overwrite, extend and zero what was there."""
        for _ in range(count):
            number = self.lineage.history.head.sequence + 1
            mark = bytes([number])
            self.deliver(
                Write(0, 512 * (number % 3), mark * 1024),
                Write(0, 2048 + 512 * (number % 2), 512),
                Write(1, 512 * (number % 4), mark * 512),
            )

    def apply(self, count: int = 1, *, together: int = 1) -> None:
        """Apply batches of points."""
        with patch.object(batch, "MAX_POINTS", together):
            for _ in range(count):
                for _ in self.lineage.apply_next(self.now(0)):
                    pass

    def interrupt_apply(self, *, together: int = 1) -> None:
        """Stop an apply of a batch in the middle of the base write: when a disk is written."""
        with patch.object(batch, "MAX_POINTS", together):
            steps = self.lineage.apply_next(self.now(0))
            while not self.lineage.history.is_interrupted:
                next(steps)
            steps.close()

    def reopen(self) -> Lineage:
        lineage = open_lineage(self.files, self.layout.folder, self._format)
        assert lineage is not None
        self.lineage = lineage
        return lineage

    def read(self, sequence: int) -> tuple[bytes, ...]:
        for _ in self.lineage.materialise(sequence, lambda disk: OUT / disk.name):
            pass
        found = []
        for disk in self.disks:
            path = OUT / disk.name
            image = self._format.open(self.files.open_read(path), is_writable=False)
            content = bytearray(disk.size)
            image.read_into(memoryview(content), 0)
            found.append(bytes(content))
            self.files.remove(path)
        return tuple(found)

    def assert_all_points_are_right(self) -> None:
        for sequence in self.sequences:
            assert self.read(sequence) == self.contents[sequence], f"point {sequence}"

    def damage_payload(self, path: Path, payload: bytes) -> None:
        """Flip a bit in the last place where a file has these bytes."""
        self.damage(path, self.files.read_bytes(path, limit=1 << 20).rindex(payload))

    def damage(self, path: Path, offset: int) -> None:
        """Flip a bit, durably; negative offsets count from the end."""
        with self.files.open_write(path) as file:
            place = offset if offset >= 0 else file.size() + offset
            byte = file.read(1, place)[0]
            file.write(bytes([byte ^ 0x20]), place)
            file.sync()
