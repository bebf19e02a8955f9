"""The initial pass as a source would send it."""

from collections.abc import Sequence

from agent.replica.history import Head
from agent.replica.initial_pass import InitialPass
from agent.replica.lineage import Lineage
from agent.replica.pass_file import PassState
from replikera.blocks.segment import NO_POINT, Codec, DiskGeometry
from tests.support.segments import (
    NOTHING,
    PROTECTION,
    Chunk,
    Write,
    build_chunk,
    build_pass_end,
    explicit,
    pass_header,
)


class PassSource:
    """Makes the chunks of one pass, one after the other."""

    def __init__(
        self,
        disks: tuple[DiskGeometry, ...],
        *,
        head: Head = NOTHING,
        attempt: int = 1,
        epoch: int = 1,
        protection_id: str = PROTECTION,
    ) -> None:
        self.disks = disks
        self._header = pass_header(
            head, disks, attempt=attempt, epoch=epoch, protection_id=protection_id
        )
        self.header = self._header.encode()
        self.attempt = attempt
        self.number, self.digest = 0, NO_POINT
        self.watermarks = (0,) * len(disks)
        self.records = self.payload_bytes = 0

    def go_on(self, state: PassState) -> None:
        """Go on behind what the target has."""
        self.number, self.digest, self.watermarks = state.chunk, state.digest, state.watermarks
        self.records, self.payload_bytes = state.records, state.payload_bytes

    def chunk(
        self,
        *writes: Write,
        watermarks: Sequence[int] | None = None,
        codec: Codec = Codec.NONE,
    ) -> Chunk:
        """Return the next chunk; without watermarks they move to the ends of the writes."""
        marks = tuple(self._reached(writes) if watermarks is None else watermarks)
        chunk = build_chunk(
            self._header,
            writes,
            number=self.number + 1,
            previous=self.digest,
            watermarks=marks,
            codec=codec,
        )
        self.number, self.digest, self.watermarks = chunk.number, chunk.digest, marks
        self.records += len(writes)
        self.payload_bytes += sum(map(len, chunk.payloads))
        return chunk

    def whole(self, *writes: Write, codec: Codec = Codec.NONE) -> Chunk:
        """Return a chunk that says of every byte of all disks what it is."""
        everything = [
            write
            for number, disk in enumerate(self.disks)
            for write in explicit(number, disk.size, writes)
        ]
        return self.chunk(*everything, codec=codec)

    def end(self) -> tuple[bytes, bytes]:
        """Return trailer and chain digest of the pass behind the newest chunk."""
        return build_pass_end(
            self._header, self.digest, records=self.records, payload_bytes=self.payload_bytes
        )

    def _reached(self, writes: Sequence[Write]) -> list[int]:
        marks = list(self.watermarks)
        for write in writes:
            length = write.data if isinstance(write.data, int) else len(write.data)
            marks[write.disk] = max(marks[write.disk], write.offset + length)
        return marks


def open_pass(lineage: Lineage, source: PassSource) -> InitialPass:
    """Open the pass, filled and ready for chunks."""
    initial = lineage.passes.begin(source.header)
    for _ in lineage.passes.fill(initial):
        pass
    return initial


def send_chunk(lineage: Lineage, initial: InitialPass, chunk: Chunk) -> None:
    """Send a whole chunk; it is durable then."""
    lineage.passes.begin_chunk(initial, chunk.number)
    if chunk.records:
        lineage.passes.add(initial, chunk.records, chunk.payloads)
    lineage.passes.end_chunk(initial, chunk.watermarks, chunk.digest)
