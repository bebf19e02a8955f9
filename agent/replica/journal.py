"""Segments on the target: open while they are received, sealed by their name.

A sealed name promises everything: the content was durable before the name was given, and the name was durable
before anybody was told.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.replica.footer import Footer, read_footer
from agent.replica.frames import Frame, read_frames
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
from replikera.ports.files import File, Files


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
