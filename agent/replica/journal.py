"""Segments on the target: open while they are received, sealed by their name.

A sealed name promises everything: the content was durable before the name was given, and the name was durable
before anybody was told.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent.replica.footer import Footer, read_footer
from agent.replica.frames import Frame, FrameWriter, read_frames
from agent.replica.layout import Layout
from replikera.blocks.segment import (
    HEADER_BYTES,
    ChainDigest,
    SegmentFormatError,
    SegmentHeader,
    SegmentTrailer,
    decode_header,
    decode_trailer,
)
from replikera.blocks.segment.header import disks_length
from replikera.ports.files import Buffer, File, Files


class OpenSegment:
    """A delta while it is received: a file that no reader looks at."""

    def __init__(self, files: Files, layout: Layout, header: SegmentHeader) -> None:
        self._files = files
        self._layout = layout
        self._header = header
        self._path = layout.open_file(header.sequence, header.attempt)
        if files.status(self._path) is not None:
            files.remove(self._path)
        encoded = header.encode()
        self._file = files.create(self._path)
        try:
            self._file.write(encoded, 0)
        except OSError:
            self.discard()
            raise
        self._frames = FrameWriter(self._file, len(encoded))

    def add(self, records: bytes, payloads: Sequence[Buffer]) -> None:
        """Append a batch as it came."""
        self._frames.add(records, payloads)

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
        self._file.sync()
        self._file.close()
        self._files.replace(self._path, self._layout.redo_file(self._header.sequence))
        self._files.sync_directory(self._layout.journal)

    def give_up(self) -> None:
        """Close the file; idempotent."""
        self._file.close()

    def discard(self) -> None:
        """Remove the file; idempotent."""
        self.give_up()
        if self._files.status(self._path) is not None:
            self._files.remove(self._path)


@dataclass(frozen=True, slots=True)
class Redo:
    """A sealed segment, open for reading."""

    file: File
    header: SegmentHeader
    trailer: SegmentTrailer
    footer: Footer
    _encoded_trailer: bytes
    _frames_start: int

    def frames(self) -> Iterator[Frame]:
        """Yield the frames; raise `SegmentFormatError` unless their records are those that were sealed."""
        chain = ChainDigest(self.header)
        for frame in read_frames(self.file, self._frames_start, self.footer.frames_end):
            chain.add_records(frame.records.tobytes())
            yield frame
        if chain.finish(self._encoded_trailer) != self.footer.point_id:
            raise SegmentFormatError(
                f"{self.file.path.name} does not have the digest it was sealed by"
            )


@contextmanager
def open_redo(files: Files, path: Path) -> Iterator[Redo]:
    """Open a sealed segment; its payload is checked as it is read. Raises `SegmentFormatError`."""
    with files.open_read(path) as file:
        footer = read_footer(file)
        fixed = file.read(HEADER_BYTES, 0)
        encoded = fixed + file.read(disks_length(fixed), HEADER_BYTES)
        header = decode_header(encoded)
        trailer = file.read(footer.trailer_length, footer.frames_end)
        if (header.sequence, header.previous) != (footer.sequence, footer.previous):
            raise SegmentFormatError(f"header and footer of {path.name} disagree")
        yield Redo(file, header, decode_trailer(trailer), footer, trailer, len(encoded))
