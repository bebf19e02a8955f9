"""A delta while it is received: a file of the journal that no reader looks at.

What was synced of it survives: after a crash it is read again from its beginning, every record is verified, and what
lies behind the last whole frame is cut off. The name is durable before anything in it is called so.
"""

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime

from agent.replica.errors import ReplicaError
from agent.replica.footer import Footer
from agent.replica.frames import FrameWriter, Window, read_frames
from agent.replica.intake import Intake
from agent.replica.layout import Layout
from replikera.blocks.segment import (
    HEADER_BYTES,
    SegmentFormatError,
    SegmentHeader,
    decode_header,
)
from replikera.blocks.segment.header import disks_length
from replikera.ports.files import Buffer, File, Files


class OpenSegment:
    """The file. One thread writes; another may sync meanwhile."""

    def __init__(self, files: Files, layout: Layout, header: SegmentHeader, file: File) -> None:
        """Take the file that `create_segment` or `find_segment` opened."""
        self._files = files
        self._layout = layout
        self._header = header
        self._file = file
        self._path = layout.open_file(header.sequence, header.attempt)
        self._frames = FrameWriter(file, len(header.encode()))
        self._durable_records = 0
        self._is_named = False
        # Held while the file must stay open: a sync of a number that another file has by now would prove nothing.
        self._use = threading.Lock()
        self._is_closed = False

    @property
    def durable_records(self) -> int:
        """Return the records that survive a crash."""
        return self._durable_records

    def add(self, records: bytes, payloads: Sequence[Buffer]) -> None:
        """Append a batch as it came."""
        self._frames.add(records, payloads)

    def sync(self) -> None:
        """Return when every batch that was added before the call is durable. Any thread; does nothing once closed."""
        with self._use:
            if not self._is_closed:
                self._sync()

    def read_again(self, intake: Intake) -> Iterator[None]:
        """Take what an earlier process received, a frame at a time; at last cut off what is not whole, durably.

        May be left and begun again: it goes on behind what `intake` has.
        """
        window = Window()
        try:
            for frame in read_frames(self._file, self._frames.offset, self._file.size()):
                payload = window.view(frame.payload_length)
                length = self._file.read_into(payload, frame.payload_offset)
                # A payload that the file cuts short is refused there, like one that rotted.
                intake.take(frame.records.tobytes(), [payload[:length]])
                self._frames.skip(frame)
                yield
        except (SegmentFormatError, ReplicaError, OSError):
            pass  # this is where the crash cut it, or where it rotted: the source sends it from there
        with self._use:
            self._file.truncate(self._frames.offset)
            self._sync()

    def seal(self, trailer: bytes, chain_digest: bytes, sealed_at: datetime) -> None:
        """Make the segment durable and give it the name that says so."""
        footer = Footer(
            sequence=self._header.sequence,
            point_id=chain_digest,
            previous=self._header.previous,
            frames_end=self._frames.offset,
            trailer_length=len(trailer),
            records=self._frames.records,
            payload_bytes=self._frames.payload_bytes,
            sealed_at=sealed_at,
        )
        self._file.write_many([trailer, footer.encode()], self._frames.offset)
        with self._use:
            self._file.sync()
        self.close()
        self._files.replace(self._path, self._layout.redo_file(self._header.sequence))
        self._files.sync_directory(self._layout.journal)

    def close(self) -> None:
        """Close the file and leave it; idempotent."""
        with self._use:
            self._is_closed = True
            self._file.close()

    def discard(self) -> None:
        """Remove the file; idempotent."""
        self.close()
        if self._files.status(self._path) is not None:
            self._files.remove(self._path)

    def _sync(self) -> None:
        records = self._frames.records
        self._file.sync()
        if not self._is_named:
            self._files.sync_directory(self._layout.journal)
            self._is_named = True
        self._durable_records = records


def create_segment(files: Files, layout: Layout, header: SegmentHeader) -> OpenSegment:
    """Begin a segment; a file of the same attempt goes."""
    path = layout.open_file(header.sequence, header.attempt)
    if files.status(path) is not None:
        files.remove(path)
    file = files.create(path)
    try:
        file.write(header.encode(), 0)
    except OSError:
        file.close()
        files.remove(path)
        raise
    return OpenSegment(files, layout, header, file)


def read_open_header(files: Files, layout: Layout, sequence: int, attempt: int) -> SegmentHeader:
    """Return the header of a segment that an earlier process received. Raises `SegmentFormatError`, `OSError`."""
    with files.open_read(layout.open_file(sequence, attempt)) as file:
        fixed = file.read(HEADER_BYTES, 0)
        header = decode_header(fixed + file.read(disks_length(fixed), HEADER_BYTES))
    if (header.sequence, header.attempt) != (sequence, attempt):
        raise SegmentFormatError(f"the name of segment {header.sequence} is that of another")
    return header


def find_segment(files: Files, layout: Layout, header: SegmentHeader) -> OpenSegment:
    """Open a segment that an earlier process received; `read_again` comes first."""
    path = layout.open_file(header.sequence, header.attempt)
    return OpenSegment(files, layout, header, files.open_write(path))
