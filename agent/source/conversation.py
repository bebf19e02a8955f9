"""The source's end of the replication protocol: messages go out of here and answers come in, typed and checked."""

import asyncio
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from google.protobuf.message import DecodeError

from agent.source.batching import Batch
from agent.source.errors import RefusedError, TargetProtocolError
from agent.source.status import Failure
from agent.source.window import Window
from replikera.blocks.segment import NO_POINT, RECORD_BYTES
from replikera.ports.streams import MessageStream, StreamClosedError
from replikera.wire.v1 import replication_pb2 as wire
from replikera.wire.v1 import types_pb2

ANSWER_SECONDS = 60.0
"""For what the target answers at once."""

STALL_SECONDS = 60.0
"""Without a receipt or a read at the target while the window is full: it hangs."""

SEAL_SECONDS = 600.0
"""A seal writes back what the target's page cache took: some 10 GiB on a slow disk."""

LAST_WORDS_SECONDS = 2.0
MAX_WAITING_ANSWERS = 4
"""One question is open at a time; more answers than that are noise."""

_MAX_TEXT = 4096
_MAX_NUMBER = 2**62
_DIGEST_BYTES = 32

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Opened:
    """The target's last durable point, `NO_POINT` and 0 for none, and the lowest attempt it takes next."""

    sequence: int
    digest: bytes
    attempt_floor: int


@dataclass(frozen=True, slots=True)
class SealedPoint:
    """A segment that is durable at the target."""

    generation: str
    sequence: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class _AbandonedAttempts:
    sequence: int
    attempt_floor: int


_Answer: TypeAlias = Opened | SealedPoint | _AbandonedAttempts


class Conversation:
    """One conversation over a stream. `pump` must run beside the other calls: it takes what the target says."""

    def __init__(self, stream: MessageStream) -> None:
        self._stream = stream
        # A batch and its payload are several messages: nothing may come between them.
        self._turn = asyncio.Lock()
        self._answers: asyncio.Queue[_Answer] = asyncio.Queue(MAX_WAITING_ANSWERS)
        self._window: Window | None = None
        self._failure: Exception | None = None
        self._ended = asyncio.Event()

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
        self._window = Window()
        await self._send(wire.ReplicateRequest(begin=wire.SegmentBegin(header=header)))

    async def send_batch(self, batch: Batch) -> None:
        """Send records and payload, waiting for receipts while the window is full."""
        if self._window is None:
            raise AssertionError("no segment has begun")
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
        await self._send(wire.ReplicateRequest(end=ending))
        sealed = await self._answer(SealedPoint, SEAL_SECONDS)
        self._window = None
        return sealed

    async def abandon(self, generation: str, sequence: int, attempt: int) -> int:
        """Give up every attempt of a sequence up to this one; return the lowest that the target still takes."""
        giving_up = wire.Abandon(generation=generation, sequence=sequence, attempt=attempt)
        await self._send(wire.ReplicateRequest(abandon=giving_up))
        answer = await self._answer(_AbandonedAttempts, ANSWER_SECONDS)
        if answer.sequence != sequence or answer.attempt_floor <= attempt:
            raise self._violation(f"it abandoned {answer}, not attempt {attempt} of {sequence}")
        return answer.attempt_floor

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
        try:
            async with asyncio.timeout(seconds):
                answer = await self._answers.get()
        except TimeoutError as error:
            raise self._silence("answered", seconds) from error
        if not isinstance(answer, kind):
            raise self._violation(f"it answered {type(answer).__name__}, not {kind.__name__}")
        return answer

    def _take(self, message: bytes) -> None:
        try:
            response = wire.ReplicateResponse.FromString(message)
        except DecodeError as error:
            raise self._violation(f"a message of {len(message)} bytes is none") from error
        match response.WhichOneof("message"):
            case "receipt":
                self._take_receipt(response.receipt)
            case "refused":
                raise _refusal(response.refused)
            case "opened":
                self._put(self._opened(response.opened))
            case "sealed":
                self._put(self._sealed(response.sealed))
            case "abandoned":
                answer = response.abandoned
                self._check_number(answer.attempt_floor)
                self._put(_AbandonedAttempts(answer.sequence, answer.attempt_floor))
            case None:
                raise self._violation("it sent an empty message")

    def _take_receipt(self, receipt: wire.Receipt) -> None:
        total = receipt.received_bytes + RECORD_BYTES * receipt.received_records
        if self._window is None or not self._window.receive(total):
            raise self._violation(f"it received {total} bytes that were not sent")

    def _put(self, answer: _Answer) -> None:
        try:
            self._answers.put_nowait(answer)
        except asyncio.QueueFull as error:
            raise self._violation("it answers what nobody asked") from error

    def _opened(self, opened: wire.ReplicaOpened) -> Opened:
        self._check_number(opened.sequence)
        self._check_number(opened.attempt_floor)
        if opened.sequence == 0:
            return Opened(0, NO_POINT, opened.attempt_floor)
        self._check_digest(opened.chain_digest)
        return Opened(opened.sequence, opened.chain_digest, opened.attempt_floor)

    def _sealed(self, sealed: wire.Sealed) -> SealedPoint:
        self._check_digest(sealed.chain_digest)
        return SealedPoint(sealed.generation, sealed.sequence, sealed.chain_digest)

    def _check_number(self, number: int) -> None:
        # More than any protection reaches, and less than what a state file holds.
        if number > _MAX_NUMBER:
            raise self._violation(f"the number {number}")

    def _check_digest(self, digest: bytes) -> None:
        if len(digest) != _DIGEST_BYTES:
            raise self._violation(f"a chain digest of {len(digest)} bytes")

    def _violation(self, problem: str) -> TargetProtocolError:
        return TargetProtocolError(self._stream.peer, problem)

    def _silence(self, what: str, seconds: float) -> StreamClosedError:
        return StreamClosedError(f"host {self._stream.peer} has not {what} for {seconds:.0f} s")


def _refusal(refused: wire.Refused) -> RefusedError:
    failure = Failure(
        refused.failure.code[:_MAX_TEXT],
        refused.failure.cause[:_MAX_TEXT],
        refused.failure.remedy[:_MAX_TEXT],
    )
    return RefusedError(failure, is_diverged=refused.is_diverged)
