"""A target in memory that speaks the replication protocol: checks digests, seals, keeps the disks of every point.

It is as mean as a target may be: what was not durable is lost with the conversation from an open segment, and partly
lost, partly left as rubbish in the base of a pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3
from google.protobuf.timestamp_pb2 import Timestamp

from replikera.blocks.segment import (
    NO_POINT,
    ChainDigest,
    SegmentHeader,
    SegmentKind,
    SegmentTrailer,
    decode_header,
    decode_trailer,
)
from replikera.ports.streams import MessageStream, StreamClosedError
from replikera.wire.v1 import replication_pb2 as wire
from replikera.wire.v1 import types_pb2
from tests.support.fake_received import FilledBase, Segment


@dataclass(repr=False)  # a failing test would print megabytes of disks
class FakeTarget:
    """`points` has the disks of every sealed point; `answers` are sent instead of the usual one, by question.

    `seed` is what a pass finds in its base. `keeps_open`: an open segment outlives its conversation up to the last
    batch but `lost_batches`.
    """

    sequence: int = 0
    digest: bytes = NO_POINT
    attempt_floor: int = 0
    points: dict[int, dict[str, bytes]] = field(default_factory=dict)
    trailers: list[SegmentTrailer] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    base: FilledBase | None = None
    bases: list[FilledBase] = field(default_factory=list)
    seed: dict[str, bytes] = field(default_factory=dict)
    abandoned: list[tuple[int, int]] = field(default_factory=list)
    opened: list[wire.OpenReplica] = field(default_factory=list)
    presented: list[bytes] = field(default_factory=list)
    compared: list[wire.DigestRequest] = field(default_factory=list)
    refusals: dict[str, list[wire.Refused]] = field(default_factory=dict)
    answers: dict[str, list[wire.ReplicateResponse]] = field(default_factory=dict)
    on_change: Callable[[], None] = lambda: None
    on_question: Callable[[str], None] = lambda _question: None
    keeps_open: bool = False
    lost_batches: int = 1
    _durable: list[Segment] = field(default_factory=list)
    _receives_pass: bool = False

    async def serve(self, stream: MessageStream) -> None:
        try:
            while await self._act(stream):
                pass
        except StreamClosedError:
            return

    def refuse(self, question: str, code: str, *, is_diverged: bool = False) -> None:
        failure = types_pb2.Failure(code=code, cause=f"Because {code}.", remedy="Do something.")
        refused = wire.Refused(failure=failure, is_diverged=is_diverged)
        self.refusals.setdefault(question, []).append(refused)

    def forget_open(self) -> None:
        """What a restart does that loses the open segment."""
        self._durable.clear()

    async def _act(self, stream: MessageStream) -> bool:
        request = wire.ReplicateRequest.FromString(await stream.receive())
        question = request.WhichOneof("message")
        assert question is not None
        self.on_question(question)
        payloads = [await stream.receive() for _ in request.batch.payload_lengths]
        if self.refusals.get(question):
            refused = wire.ReplicateResponse(refused=self.refusals[question].pop(0))
            await stream.send(refused.SerializeToString())
            return False
        response = self._answer(request, payloads)
        self.on_change()
        if self.answers.get(question):
            response = self.answers[question].pop(0)
        if response is not None:
            await stream.send(response.SerializeToString())
            return response.WhichOneof("message") != "refused"
        return True

    def _answer(
        self, request: wire.ReplicateRequest, payloads: list[bytes]
    ) -> wire.ReplicateResponse | None:
        question = request.WhichOneof("message")
        if question == "batch":
            return self._add(request.batch, payloads)
        if question in {"pass_begin", "chunk_begin", "chunk_end", "pass_end"}:
            return self._go_on_with_pass(request)
        answers: dict[str, Callable[[Any], wire.ReplicateResponse | None]] = {
            "open": self._open,
            "begin": self._begin,
            "resume": self._resume,
            "end": self._seal,
            "present": self._present,
            "digests": self._digests,
            "abandon": self._abandon,
        }
        assert question is not None
        return answers[question](getattr(request, question))

    def _present(self, presenting: wire.PresentGrant) -> None:
        self.presented.append(presenting.grant)

    def _open(self, opening: wire.OpenReplica) -> wire.ReplicateResponse:
        self.opened.append(opening)
        self._receives_pass = False
        opened = wire.ReplicaOpened(
            sequence=self.sequence,
            chain_digest=self.digest if self.sequence else b"",
            attempt_floor=self.attempt_floor,
        )
        if self.keeps_open and len(self._durable) > self.lost_batches:
            survivor = self._durable[-1 - self.lost_batches]
            del self._durable[len(self._durable) - self.lost_batches :]
            opened.open_attempt = survivor.header.attempt
            opened.durable_records = survivor.records
        return wire.ReplicateResponse(opened=opened)

    def _abandon(self, giving_up: wire.Abandon) -> wire.ReplicateResponse:
        self.abandoned.append((giving_up.sequence, giving_up.attempt))
        self.attempt_floor = giving_up.attempt + 1
        self._durable.clear()
        answer = wire.Abandoned(sequence=giving_up.sequence, attempt_floor=self.attempt_floor)
        return wire.ReplicateResponse(abandoned=answer)

    def _begin(self, beginning: wire.SegmentBegin) -> None:
        header = decode_header(beginning.header)
        assert header.kind is SegmentKind.DELTA
        assert header.sequence == self.sequence + 1
        assert header.previous == self.digest
        assert header.attempt >= self.attempt_floor
        before = self.points[self.sequence]
        assert [disk.size for disk in header.disks] == [
            len(before[disk.disk_id]) for disk in header.disks
        ]
        disks = [bytearray(before[disk.disk_id]) for disk in header.disks]
        self.segments.append(Segment(header, ChainDigest(header), disks))
        self._durable = [self.segments[-1].copy()]

    def _resume(self, resuming: wire.SegmentResume) -> None:
        survivor = self._durable[-1].copy()
        assert survivor.header.attempt == resuming.attempt
        assert survivor.header.sequence == self.sequence + 1
        assert survivor.records == resuming.records
        survivor.resumed.append(resuming.records)
        self.segments.append(survivor)

    def _add(self, batch: wire.Batch, payloads: list[bytes]) -> wire.ReplicateResponse:
        if self._receives_pass:
            assert self.base is not None
            self.base.take(batch, payloads)
            receipt = wire.Receipt(
                received_records=self.base.received_records, received_bytes=self.base.received_bytes
            )
            return wire.ReplicateResponse(receipt=receipt)
        segment = self.segments[-1]
        segment.take(batch, payloads)
        durable = 0
        if self.keeps_open:
            self._durable.append(segment.copy())
            durable = self._durable[max(0, len(self._durable) - 1 - self.lost_batches)].records
        receipt = wire.Receipt(
            received_records=segment.records,
            received_bytes=segment.payload_bytes,
            durable_records=durable,
        )
        return wire.ReplicateResponse(receipt=receipt)

    def _seal(self, end: wire.SegmentEnd) -> wire.ReplicateResponse:
        segment = self.segments[-1]
        assert not segment.is_sealed
        segment.is_sealed = True
        trailer = decode_trailer(end.trailer)
        assert segment.chain.finish(end.trailer) == end.chain_digest
        assert (trailer.records, trailer.payload_bytes) == (segment.records, segment.payload_bytes)
        self._durable.clear()
        return self._sealed(segment.header, segment.disks, trailer, end.chain_digest)

    def _go_on_with_pass(self, request: wire.ReplicateRequest) -> wire.ReplicateResponse | None:
        match request.WhichOneof("message"):
            case "pass_begin":
                return self._begin_pass(decode_header(request.pass_begin.header))
            case "chunk_begin":
                assert self.base is not None
                self.base.begin_chunk(request.chunk_begin.number)
                return None
            case "chunk_end":
                assert self.base is not None
                self.base.end_chunk(request.chunk_end)
                durable = wire.ChunkDurable(number=self.base.chunk, digest=self.base.digest)
                return wire.ReplicateResponse(chunk_durable=durable)
            case _:
                return self._end_pass(request.pass_end)

    def _begin_pass(self, header: SegmentHeader) -> wire.ReplicateResponse:
        assert header.kind is SegmentKind.INITIAL
        assert self.sequence == 0
        assert header.attempt >= self.attempt_floor
        self._receives_pass = True
        if self.base is None or self.base.header != header:
            assert self.base is None or header.attempt > self.base.header.attempt
            # Rubbish where nothing was written yet: whoever relies on zeros there is found out.
            disks = [
                bytearray(self.seed.get(disk.disk_id, b"").ljust(disk.size, b"\xa5"))
                for disk in header.disks
            ]
            self.base = FilledBase(header, disks, bool(self.seed))
            self.base.watermarks = (0,) * len(disks)
            self.bases.append(self.base)
        base = self.base
        base.begin()
        opened = wire.PassOpened(
            chunk=base.chunk,
            digest=base.digest,
            watermarks=base.watermarks,
            records=base.records,
            payload_bytes=base.payload_bytes,
            is_seeded=base.is_seeded,
        )
        return wire.ReplicateResponse(pass_opened=opened)

    def _end_pass(self, ending: wire.PassEnd) -> wire.ReplicateResponse:
        base = self.base
        assert base is not None
        assert base.open is None
        assert base.watermarks == tuple(disk.size for disk in base.header.disks)
        trailer = decode_trailer(ending.trailer)
        assert (trailer.records, trailer.payload_bytes) == (base.records, base.payload_bytes)
        assert trailer.machine is not None
        chain = ChainDigest(base.header)
        chain.add_records(base.digest)
        assert chain.finish(ending.trailer) == ending.chain_digest
        self.base = None
        self._receives_pass = False
        return self._sealed(base.header, base.disks, trailer, ending.chain_digest)

    def _sealed(
        self,
        header: SegmentHeader,
        disks: list[bytearray],
        trailer: SegmentTrailer,
        digest: bytes,
    ) -> wire.ReplicateResponse:
        self.sequence, self.digest = header.sequence, digest
        self.attempt_floor = 0
        self.trailers.append(trailer)
        self.points[self.sequence] = {
            disk.disk_id: bytes(data) for disk, data in zip(header.disks, disks, strict=True)
        }
        sealed = wire.Sealed(
            generation=header.generation,
            sequence=self.sequence,
            chain_digest=self.digest,
            sealed_at=Timestamp(seconds=1),
        )
        return wire.ReplicateResponse(sealed=sealed)

    def _digests(self, asked: wire.DigestRequest) -> wire.ReplicateResponse:
        self.compared.append(asked)
        disks: Sequence[bytes | bytearray]
        if asked.sequence:
            disks = list(self.points[asked.sequence].values())
        else:
            assert self.base is not None
            disks = self.base.disks
        assert 1 <= len(asked.ranges) <= 256
        digests = [
            blake3(bytes(disks[each.disk][each.offset : each.offset + each.length])).digest()
            for each in asked.ranges
            if 0 < each.length <= 1 << 20 and each.offset + each.length <= len(disks[each.disk])
        ]
        assert len(digests) == len(asked.ranges)
        answer = wire.Digests(sequence=asked.sequence, digests=b"".join(digests))
        return wire.ReplicateResponse(digests=answer)
