"""A target in memory that speaks the replication protocol: checks digests, seals, keeps the disks of every point."""

from collections.abc import Callable
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from replikera.blocks.segment import (
    NO_POINT,
    ChainDigest,
    RecordKind,
    SegmentHeader,
    SegmentTrailer,
    decode_header,
    decode_trailer,
    parse_records,
    verify_payload,
)
from replikera.ports.streams import MessageStream, StreamClosedError
from replikera.wire.v1 import replication_pb2 as wire
from replikera.wire.v1 import types_pb2


@dataclass(repr=False)
class Segment:
    header: SegmentHeader
    chain: ChainDigest
    disks: list[bytearray]
    records: int = 0
    payload_bytes: int = 0
    payload_lengths: list[int] = field(default_factory=list)
    zero_records: int = 0


@dataclass(repr=False)  # a failing test would print megabytes of disks
class FakeTarget:
    """`points` has the disks of every sealed point; `answers` are sent instead of the usual one, by question."""

    sequence: int = 0
    digest: bytes = NO_POINT
    attempt_floor: int = 0
    points: dict[int, dict[str, bytes]] = field(default_factory=dict)
    trailers: list[SegmentTrailer] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    abandoned: list[tuple[int, int]] = field(default_factory=list)
    opened: list[wire.OpenReplica] = field(default_factory=list)
    presented: list[bytes] = field(default_factory=list)
    refusals: dict[str, list[wire.Refused]] = field(default_factory=dict)
    answers: dict[str, list[wire.ReplicateResponse]] = field(default_factory=dict)
    on_change: Callable[[], None] = lambda: None

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

    async def _act(self, stream: MessageStream) -> bool:
        request = wire.ReplicateRequest.FromString(await stream.receive())
        question = request.WhichOneof("message")
        assert question is not None
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
        return True

    def _answer(
        self, request: wire.ReplicateRequest, payloads: list[bytes]
    ) -> wire.ReplicateResponse | None:
        match request.WhichOneof("message"):
            case "open":
                self.opened.append(request.open)
                digest = self.digest if self.sequence else b""
                opened = wire.ReplicaOpened(
                    sequence=self.sequence, chain_digest=digest, attempt_floor=self.attempt_floor
                )
                return wire.ReplicateResponse(opened=opened)
            case "begin":
                self._begin(request.begin.header)
                return None
            case "batch":
                return self._add(request.batch, payloads)
            case "end":
                return self._seal(request.end)
            case "present":
                self.presented.append(request.present.grant)
                return None
            case _:
                giving_up = request.abandon
                self.abandoned.append((giving_up.sequence, giving_up.attempt))
                self.attempt_floor = giving_up.attempt + 1
                answer = wire.Abandoned(
                    sequence=giving_up.sequence, attempt_floor=self.attempt_floor
                )
                return wire.ReplicateResponse(abandoned=answer)

    def _begin(self, data: bytes) -> None:
        header = decode_header(data)
        assert header.sequence == self.sequence + 1
        assert header.previous == self.digest
        assert header.attempt >= self.attempt_floor
        before = self.points.get(self.sequence, {})
        disks = [
            bytearray(before.get(disk.disk_id, b"").ljust(disk.size, b"\0"))
            for disk in header.disks
        ]
        self.segments.append(Segment(header, ChainDigest(header), disks))

    def _add(self, batch: wire.Batch, payloads: list[bytes]) -> wire.ReplicateResponse:
        segment = self.segments[-1]
        assert [len(payload) for payload in payloads] == list(batch.payload_lengths)
        segment.payload_lengths += batch.payload_lengths
        segment.chain.add_records(batch.records)
        stored = memoryview(b"".join(payloads))
        for record in parse_records(batch.records):
            length, offset = int(record["length"]), int(record["offset"])
            data = stored[: int(record["stored_length"])]
            stored = stored[len(data) :]
            verify_payload(record, data)
            is_zero = record["kind"] == RecordKind.ZERO
            segment.zero_records += int(is_zero)
            content = bytes(length) if is_zero else bytes(data)
            segment.disks[int(record["disk"])][offset : offset + length] = content
            segment.records += 1
        assert not stored
        segment.payload_bytes += sum(batch.payload_lengths)
        receipt = wire.Receipt(
            received_records=segment.records, received_bytes=segment.payload_bytes
        )
        return wire.ReplicateResponse(receipt=receipt)

    def _seal(self, end: wire.SegmentEnd) -> wire.ReplicateResponse:
        segment = self.segments[-1]
        trailer = decode_trailer(end.trailer)
        assert segment.chain.finish(end.trailer) == end.chain_digest
        assert (trailer.records, trailer.payload_bytes) == (segment.records, segment.payload_bytes)
        self.sequence = segment.header.sequence
        self.digest = end.chain_digest
        self.attempt_floor = 0
        self.trailers.append(trailer)
        self.points[self.sequence] = {
            disk.disk_id: bytes(data)
            for disk, data in zip(segment.header.disks, segment.disks, strict=True)
        }
        sealed = wire.Sealed(
            generation=segment.header.generation,
            sequence=self.sequence,
            chain_digest=self.digest,
            sealed_at=Timestamp(seconds=1),
        )
        return wire.ReplicateResponse(sealed=sealed)
