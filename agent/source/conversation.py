"""The source's end of the replication protocol: messages go out of here and answers come in, typed and checked."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from agent.source.answers import (
    AbandonedAttempts,
    Answer,
    AnswerError,
    DurableChunk,
    Opened,
    PassOpened,
    RangeDigests,
    Received,
    SealedPoint,
    parse_answer,
)
from agent.source.batching import Batch
from agent.source.errors import RefusedError, TargetProtocolError
from agent.source.passes import MAX_UNDURABLE_CHUNKS
from agent.source.window import Window
from replikera.blocks.segment import RECORD_BYTES
from replikera.ports.streams import MessageStream, StreamClosedError
from replikera.wire.v1 import replication_pb2 as wire
from replikera.wire.v1 import types_pb2

ANSWER_SECONDS = 60.0
"""For what the target answers at once."""

STALL_SECONDS = 60.0
"""Without a receipt or a read at the target while the window is full: it hangs."""

SEAL_SECONDS = 600.0
"""A seal writes back what the target's page cache took: some 10 GiB on a slow disk."""

CHUNK_SECONDS = 180.0
"""Two chunks, some 150 MiB, scattered over a slow disk."""

LAST_WORDS_SECONDS = 2.0
MAX_WAITING_ANSWERS = 4
"""Two questions are open at a time at most; more answers than that are noise."""

Range: TypeAlias = tuple[int, int, int]
"""(disk, offset, length)"""

T = TypeVar("T")


class Conversation:
    """One conversation over a stream. `pump` must run beside the other calls: it takes what the target says."""

    def __init__(self, stream: MessageStream, part: Callable[[], int]) -> None:
        """`part` tells how many bytes a transfer may have on its way now, beside those of other conversations."""
        self._stream = stream
        self._part = part
        # A batch and its payload are several messages: nothing may come between them.
        self._turn = asyncio.Lock()
        self._answers: asyncio.Queue[Answer] = asyncio.Queue(MAX_WAITING_ANSWERS)
        self._chunks: asyncio.Queue[DurableChunk] = asyncio.Queue(MAX_UNDURABLE_CHUNKS)
        self._expected: deque[DurableChunk] = deque()
        self._window: Window | None = None
        self._durable_records = 0
        self._patience: asyncio.Timeout | None = None
        self._failure: Exception | None = None
        self._ended = asyncio.Event()

    @property
    def durable_records(self) -> int:
        """Return how many records of the present segment survive a crash of the target, as it told last."""
        return self._durable_records

    def violation(self, problem: str) -> TargetProtocolError:
        """Return the error that says what this target does and no target does."""
        return TargetProtocolError(self._stream.peer, problem)

    async def pump(self) -> None:
        """Take the target's messages until the conversation ends.

        Raises `RefusedError`, `TargetProtocolError` or `StreamClosedError`; never returns.
        """
        try:
            while True:
                self._take(await self._stream.receive())
        except (RefusedError, TargetProtocolError, StreamClosedError) as error:
            self._failure = error
            raise
        finally:
            self._ended.set()

    async def open(
        self, protection_id: str, epoch: int, generation: str, grant: bytes = b""
    ) -> Opened:
        """Name the protection and show the grant for it; return where the target stands."""
        number = types_pb2.Epoch(number=epoch, generation=generation)
        opening = wire.OpenReplica(protection_id=protection_id, epoch=number, grant=grant)
        await self._send(wire.ReplicateRequest(open=opening))
        return await self._answer(Opened, ANSWER_SECONDS)

    async def present(self, grant: bytes) -> None:
        """Show a newer grant; it is not answered, and may come at any time."""
        await self._send(wire.ReplicateRequest(present=wire.PresentGrant(grant=grant)))

    async def begin(self, header: bytes) -> None:
        """Start a segment."""
        self._begin(0, 0)
        await self._send(wire.ReplicateRequest(begin=wire.SegmentBegin(header=header)))

    async def resume(self, attempt: int, records: int, payload_bytes: int) -> None:
        """Go on with the target's open segment behind these records and their payload."""
        self._begin(records, payload_bytes)
        resuming = wire.SegmentResume(attempt=attempt, records=records)
        await self._send(wire.ReplicateRequest(resume=resuming))

    async def begin_pass(self, header: bytes) -> PassOpened:
        """Start or continue a pass; return how far it is."""
        self._begin(0, 0)
        await self._send(wire.ReplicateRequest(pass_begin=wire.PassBegin(header=header)))
        try:
            # The target may copy a seed first, for hours: while it does, it sends receipts.
            async with asyncio.timeout(ANSWER_SECONDS) as self._patience:
                return self._expect(PassOpened, await self._answers.get())
        except TimeoutError as error:
            raise self._silence("answered", ANSWER_SECONDS) from error
        finally:
            self._patience = None

    async def begin_chunk(self, number: int) -> None:
        """Start the next chunk of the pass."""
        await self._send(wire.ReplicateRequest(chunk_begin=wire.ChunkBegin(number=number)))

    async def end_chunk(self, number: int, watermarks: Sequence[int], digest: bytes) -> None:
        """End the chunk; `durable_chunk` tells when it is durable."""
        if len(self._expected) + self._chunks.qsize() == MAX_UNDURABLE_CHUNKS:
            raise AssertionError("too many chunks are on their way")
        self._expected.append(DurableChunk(number, digest))
        ending = wire.ChunkEnd(watermarks=watermarks, digest=digest)
        await self._send(wire.ReplicateRequest(chunk_end=ending))

    async def durable_chunk(self) -> DurableChunk:
        """Return the next chunk that became durable; only while one is on its way."""
        return await self._next(self._chunks, "made a chunk durable", CHUNK_SECONDS)

    async def send_batch(self, batch: Batch) -> None:
        """Send records and payload, waiting for receipts while the window is full."""
        if self._window is None:
            raise AssertionError("no transfer has begun")
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await self._window.admit(len(batch.records) + batch.payload_bytes)
        except TimeoutError as error:
            raise self._silence("taken any data", STALL_SECONDS) from error
        lengths = [len(payload) for payload in batch.payloads]
        manifest = wire.Batch(records=batch.records, payload_lengths=lengths)
        async with self._turn:
            await self._send_raw(wire.ReplicateRequest(batch=manifest).SerializeToString())
            for payload in batch.payloads:
                await self._send_raw(payload)

    async def end(self, trailer: bytes, digest: bytes) -> SealedPoint:
        """End the segment; return when the target says that it is durable."""
        ending = wire.SegmentEnd(trailer=trailer, chain_digest=digest)
        return await self._sealed(wire.ReplicateRequest(end=ending))

    async def end_pass(self, trailer: bytes, digest: bytes) -> SealedPoint:
        """End the pass; return when the target says that its base is point 1."""
        ending = wire.PassEnd(trailer=trailer, chain_digest=digest)
        return await self._sealed(wire.ReplicateRequest(pass_end=ending))

    async def ask_digests(self, sequence: int, ranges: Sequence[Range]) -> None:
        """Ask what the target holds of these ranges at one point, 0 for the pass; see `digests`."""
        asked = [
            wire.DigestRange(disk=disk, offset=offset, length=length)
            for disk, offset, length in ranges
        ]
        question = wire.DigestRequest(sequence=sequence, ranges=asked)
        await self._send(wire.ReplicateRequest(digests=question))

    async def digests(self, sequence: int, count: int) -> tuple[bytes, ...]:
        """Return the answer to the oldest question that has none."""
        answer = await self._answer(RangeDigests, ANSWER_SECONDS)
        if (answer.sequence, len(answer.digests)) != (sequence, count):
            raise self.violation(
                f"{len(answer.digests)} digests of point {answer.sequence}, not {count} of {sequence}"
            )
        return answer.digests

    async def abandon(self, generation: str, sequence: int, attempt: int) -> int:
        """Give up every attempt of a sequence up to this one; return the lowest that the target still takes."""
        giving_up = wire.Abandon(generation=generation, sequence=sequence, attempt=attempt)
        await self._send(wire.ReplicateRequest(abandon=giving_up))
        answer = await self._answer(AbandonedAttempts, ANSWER_SECONDS)
        if answer.sequence != sequence or answer.attempt_floor <= attempt:
            raise self.violation(f"it abandoned {answer}, not attempt {attempt} of {sequence}")
        return answer.attempt_floor

    def _begin(self, records: int, payload_bytes: int) -> None:
        self._window = Window(self._part, records * RECORD_BYTES + payload_bytes)
        self._durable_records = records

    async def _sealed(self, ending: wire.ReplicateRequest) -> SealedPoint:
        await self._send(ending)
        sealed = await self._answer(SealedPoint, SEAL_SECONDS)
        self._window = None
        return sealed

    async def _send(self, message: wire.ReplicateRequest) -> None:
        async with self._turn:
            await self._send_raw(message.SerializeToString())

    async def _send_raw(self, message: bytes) -> None:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await self._stream.send(message)
        except TimeoutError as error:
            raise self._silence("read", STALL_SECONDS) from error
        except StreamClosedError as error:
            # What broke the stream may be a refusal that is still on its way in.
            try:
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await self._ended.wait()
            except TimeoutError:
                raise error from None
            raise self._failure or error from error

    async def _answer(self, kind: type[T], seconds: float) -> T:
        return self._expect(kind, await self._next(self._answers, "answered", seconds))

    def _expect(self, kind: type[T], answer: Answer) -> T:
        if not isinstance(answer, kind):
            raise self.violation(f"it answered {type(answer).__name__}, not {kind.__name__}")
        return answer

    async def _next(self, queue: "asyncio.Queue[T]", what: str, seconds: float) -> T:
        try:
            async with asyncio.timeout(seconds):
                return await queue.get()
        except TimeoutError as error:
            raise self._silence(what, seconds) from error

    def _take(self, message: bytes) -> None:
        try:
            answer = parse_answer(message)
        except AnswerError as error:
            raise self.violation(str(error)) from error
        match answer:
            case Received():
                self._take_receipt(answer)
            case RefusedError():
                raise answer
            case DurableChunk():
                self._take_chunk(answer)
            case _:
                self._put(answer)

    def _take_receipt(self, receipt: Received) -> None:
        total = receipt.payload_bytes + RECORD_BYTES * receipt.records
        if self._window is None or not self._window.receive(total):
            raise self.violation(f"it received {total} bytes that were not sent")
        if receipt.durable_records > receipt.records:
            raise self.violation(f"{receipt.durable_records} of {receipt.records} are durable")
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time() + ANSWER_SECONDS)
        self._durable_records = max(self._durable_records, receipt.durable_records)

    def _take_chunk(self, chunk: DurableChunk) -> None:
        if not self._expected or chunk != self._expected.popleft():
            raise self.violation(f"chunk {chunk.number} became durable that was not sent so")
        self._chunks.put_nowait(chunk)

    def _put(self, answer: Answer) -> None:
        try:
            self._answers.put_nowait(answer)
        except asyncio.QueueFull as error:
            raise self.violation("it answers what nobody asked") from error

    def _silence(self, what: str, seconds: float) -> StreamClosedError:
        return StreamClosedError(f"host {self._stream.peer} has not {what} for {seconds:.0f} s")
