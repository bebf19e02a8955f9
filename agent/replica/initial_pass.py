"""The base of the first point while it is filled.

What a chunk brought counts when three things are durable: the images, then their checksums, then the state that names
the chunk. Before that the images may hold any part of it. That is harmless, because a pass says of every byte what it
is, zeros too: what was not durable is sent or compared again.
"""

from collections.abc import Generator, Iterator, Sequence
from datetime import datetime

from agent.replica.attempt import record_of
from agent.replica.base_images import BaseWriter
from agent.replica.chunk import Chunk
from agent.replica.digests import check_ranges, pass_digests
from agent.replica.intake import checked_trailer
from agent.replica.messages import Range
from agent.replica.pass_file import PassState, write_pass
from agent.replica.points import PointRecord
from agent.replica.refusals import refusal
from agent.replica.seeds import SeedCopy
from agent.replica.storage import Storage
from replikera.blocks.segment import ChainDigest, SegmentHeader
from replikera.ports.files import Buffer


class InitialPass:
    """The images of a pass, open. Nothing of it is a point, whatever happens, before it is sealed."""

    def __init__(
        self,
        storage: Storage,
        header: SegmentHeader,
        writer: BaseWriter,
        state: PassState | None,
        seeding: SeedCopy,
    ) -> None:
        """Take open images; without a `state` they are new, and `fill` comes first."""
        self.header = header
        self.seeding = seeding
        self.received_records = 0
        self.received_bytes = 0
        self._storage = storage
        self._writer = writer
        self._state = state
        self._chunk: Chunk | None = None

    @property
    def state(self) -> PassState | None:
        """Return how far it is durable, None while it is filled with seeds."""
        return self._state

    def fill(self) -> Iterator[None]:
        """Copy the seeds of a new pass and make it durable, a piece at a time; may be left and begun again."""
        if self._state is None:
            yield from self.seeding.run(self._writer, self._storage.require_space)
            self._writer.flush()
            self._sync_names()
            self._keep(PassState.begun(self.header, is_seeded=bool(self.seeding.seeds)))

    def begin_chunk(self, number: int) -> None:
        """Begin the chunk after the newest; what came of another one is forgotten."""
        state = self._filled()
        if number != state.chunk + 1:
            raise refusal(
                self.header,
                "wrong-chunk",
                f"chunk {number} begins, the next one is {state.chunk + 1}",
            )
        self._chunk = Chunk(self.header, state)

    def add(self, records: bytes, payloads: Sequence[Buffer]) -> None:
        """Check a batch of the chunk, then write it."""
        pieces = self._begun().take(records, payloads)
        length = sum(len(payload) for payload in payloads)
        self._storage.require_space(sum(piece.length for piece in pieces if piece.data is not None))
        for piece in pieces:
            self._writer.paint(piece)
        self.received_records += len(pieces)
        self.received_bytes += length

    def end_chunk(self, watermarks: Sequence[int], digest: bytes) -> PassState:
        """Make the chunk durable; return how far the pass is then."""
        state = self._begun().finish(watermarks, digest)
        self._writer.flush()
        self._keep(state)
        self._chunk = None
        return state

    def digests(self, ranges: Sequence[Range]) -> Generator[bytes]:
        """Yield what there is of the digests of ranges; at last all of them."""
        check_ranges(self.header.disks, ranges, "the initial pass")
        yield from pass_digests(self._writer, ranges)

    def finish(self, trailer: bytes, chain_digest: bytes, now: datetime) -> PointRecord:
        """Return the point that the base will be when it is sealed now."""
        state = self._filled()
        if not state.is_covered:
            raise refusal(
                self.header, "incomplete", f"the disks are covered up to {list(state.watermarks)}"
            )
        found = checked_trailer(self.header, trailer, state.records, state.payload_bytes)
        chain = ChainDigest(self.header)
        chain.add_records(state.digest)
        if chain.finish(trailer) != chain_digest:
            raise refusal(
                self.header, "wrong-digest", "the chain digest is not that of the last chunk"
            )
        return record_of(self.header, found, chain_digest, b"", now)

    def close(self) -> None:
        """Make the images and their names durable and close them."""
        self._writer.close()
        self._sync_names()

    def give_up(self) -> None:
        """Close the images without making anything durable; idempotent."""
        self._writer.give_up()

    def _begun(self) -> Chunk:
        if self._chunk is None:
            raise refusal(self.header, "wrong-chunk", "no chunk has begun")
        return self._chunk

    def _filled(self) -> PassState:
        if self._state is None:
            raise refusal(self.header, "wrong-chunk", "the pass is not open yet")
        return self._state

    def _keep(self, state: PassState) -> None:
        write_pass(self._storage.files, self._storage.layout, state)
        self._state = state

    def _sync_names(self) -> None:
        files, layout = self._storage.files, self._storage.layout
        files.sync_directory(layout.images(self.header.attempt))
        files.sync_directory(layout.folder)
