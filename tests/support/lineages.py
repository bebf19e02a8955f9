"""A replica on a file system in memory, with the content that each of its points must have."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from agent.replica.attempt import Attempt
from agent.replica.images import ImageFormat
from agent.replica.layout import Layout
from agent.replica.lineage import Lineage, create_lineage, open_lineage
from agent.replica.points import PointRecord
from replikera.blocks.segment import RECORD_BYTES, parse_records
from tests.support.crash_files import CrashFiles
from tests.support.raw_images import RawImages
from tests.support.segments import (
    ACCEPTED,
    PROTECTION,
    STARTED,
    Segment,
    Write,
    build_segment,
    disks_of,
    painted,
)

ROOT = Path("/replicas")
OUT = Path("/out")


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

    def segment(self, writes: Sequence[Write], *, attempt: int = 1, name: str = "") -> Segment:
        head = self.lineage.history.head
        return build_segment(head, self.disks, writes, attempt=attempt, name=name)

    def begin(self, segment: Segment) -> Attempt:
        """Send everything but the trailer, each record in a batch of its own."""
        attempt = self.lineage.begin(segment.header)
        payloads = iter(segment.payloads)
        for start in range(0, len(segment.records), RECORD_BYTES):
            record = segment.records[start : start + RECORD_BYTES]
            is_data = parse_records(record)[0]["stored_length"] > 0
            self.lineage.add(attempt, record, [next(payloads)] if is_data else [])
        return attempt

    def deliver(self, *writes: Write, attempt: int = 1, name: str = "") -> PointRecord:
        """Deliver the segment of these writes; it is sealed at the hour of its sequence."""
        before = self.contents[self.lineage.history.head.sequence]
        segment = self.segment(writes, attempt=attempt, name=name)
        opened = self.begin(segment)
        sequence = opened.header.sequence
        record = self.lineage.seal(
            opened, segment.trailer, segment.chain_digest, self.now(sequence)
        )
        self.contents[sequence] = painted(before, writes)
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

    def apply(self, count: int = 1) -> None:
        for _ in range(count):
            for _ in self.lineage.apply_next(self.now(0)):
                pass

    def interrupt_apply(self) -> None:
        """Stop an apply in the middle of the base write: after the first frame."""
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
