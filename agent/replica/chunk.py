"""One chunk of the initial pass as it arrives: what came, and whether its end is about exactly that."""

from collections.abc import Sequence

from agent.replica.batch_checks import BatchChecks
from agent.replica.pass_file import PassState
from agent.replica.pieces import Piece
from agent.replica.refusals import refusal
from replikera.blocks.segment import ChunkDigest, SegmentHeader
from replikera.ports.files import Buffer

MAX_CHUNK_BYTES = 1 << 30
"""Payload that a crash may cost at most; a source ends a chunk after 64 MiB."""


class Chunk:
    """Follows one chunk. A refused batch leaves it as it was."""

    def __init__(self, header: SegmentHeader, state: PassState) -> None:
        """`state` is the pass before the chunk."""
        self._header = header
        self._state = state
        self._digest = ChunkDigest(header, state.chunk + 1, state.digest)
        self._checks = BatchChecks(header)
        self._records = 0
        self._payload_bytes = 0

    def take(self, data: bytes, payloads: Sequence[Buffer]) -> list[Piece]:
        """Return the pieces of a batch, verified. Raises `ReplicaError`."""
        length = sum(len(payload) for payload in payloads)
        if self._payload_bytes + length > MAX_CHUNK_BYTES:
            raise refusal(
                self._header, "oversized", f"a chunk of more than {MAX_CHUNK_BYTES} bytes"
            )
        pieces = self._checks.take(data, payloads)
        self._digest.add_records(data)
        self._records += len(pieces)
        self._payload_bytes += length
        return pieces

    def finish(self, watermarks: Sequence[int], digest: bytes) -> PassState:
        """Return the pass behind the chunk, complete. Raises `ReplicaError`."""
        if problem := self._problem_of(watermarks):
            raise refusal(self._header, "wrong-watermark", problem)
        if self._digest.finish(watermarks) != digest:
            raise refusal(
                self._header,
                "wrong-digest",
                f"the digest of chunk {self._state.chunk + 1} is not that of what arrived",
            )
        return self._state.advanced(
            digest, watermarks, records=self._records, payload_bytes=self._payload_bytes
        )

    def _problem_of(self, watermarks: Sequence[int]) -> str | None:
        disks = self._header.disks
        if len(watermarks) != len(disks):
            return f"{len(watermarks)} watermarks for {len(disks)} disks"
        places = zip(disks, watermarks, self._state.watermarks, self._checks.reached, strict=True)
        for disk, mark, before, reached in places:
            if mark > disk.size:
                return f"the watermark of {disk.name} is {mark}, behind its end at {disk.size}"
            if mark < before:
                return f"the watermark of {disk.name} goes back from {before} to {mark}"
            if reached > mark:
                return f"a record of {disk.name} ends at {reached}, behind its watermark {mark}"
        return None
