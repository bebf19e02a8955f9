"""Messages come off the stream here: bounded before they are decoded, then decoded, and checked by themselves."""

import asyncio

from google.protobuf.message import DecodeError

from agent.budget import Share
from agent.grants import MAX_GRANT_BYTES
from agent.replica.messages import (
    Abandon,
    AskDigests,
    Batch,
    Begin,
    BeginChunk,
    BeginPass,
    End,
    EndChunk,
    Ended,
    EndPass,
    Incoming,
    Open,
    Present,
    ProtocolViolationError,
    Range,
    Resume,
)
from replikera.blocks.segment import (
    MAX_BATCH_RECORDS,
    MAX_DISKS,
    MAX_HEADER_BYTES,
    MAX_TRAILER_BYTES,
    RECORD_BYTES,
)
from replikera.ports.streams import MessageStream, StreamClosedError
from replikera.wire.v1 import replication_pb2 as wire

MAX_PAYLOADS = 8
MAX_PAYLOAD_BYTES = 2 << 20
MAX_BATCH_PAYLOAD_BYTES = 16 << 20
"""What a conversation may have in memory of a batch that is coming in, within what all conversations share."""

MAX_MESSAGE_BYTES = MAX_BATCH_RECORDS * RECORD_BYTES + 4096
"""The largest message that is not payload: a batch's records."""

MAX_SMALL_BYTES = MAX_TRAILER_BYTES + 4096
"""The largest message that is not a batch either. Decoding makes some 28 bytes of each of a list of empty messages."""

MAX_RANGES = 256
MAX_RANGE_BYTES = 1 << 20
"""Compared at once: 256 MiB are read for one question."""

OPENING_SECONDS = 15.0
"""How long a host that has connected may take to say what it wants."""

PAYLOAD_SECONDS = 120.0
"""How long the next part of a batch may take, 2 MiB at 17 KiB/s: who hangs in a batch holds memory."""

_DIGEST_BYTES = 32
_MAX_TEXT = 64
_MAX_NUMBER = (1 << 63) - 1
_BATCH_TAG = wire.ReplicateRequest(batch=wire.Batch()).SerializeToString()[:1]


async def read_opening(stream: MessageStream) -> Open:
    """Return the first message, before which nothing else is read.

    Raises `ProtocolViolationError` and `StreamClosedError`, also where none comes in time.
    """
    message = await _receive_within(stream, OPENING_SECONDS, "said nothing")
    request = _decode(message)
    _require(
        request.WhichOneof("message") == "open", "the conversation does not begin with OpenReplica"
    )
    return _open(request.open)


async def read_messages(
    stream: MessageStream, incoming: "asyncio.Queue[Incoming]", share: Share
) -> None:
    """Put every message into `incoming`, at last how the stream ended.

    The size of a batch is taken of `share` before its payload is read; who has stored it gives that back.
    """
    violation: ProtocolViolationError | None = None
    try:
        while True:
            await incoming.put(await _next(stream, share))
    except ProtocolViolationError as error:
        violation = error
    except StreamClosedError:
        pass  # told below, behind what arrived before
    await incoming.put(Ended(violation))


async def _next(stream: MessageStream, share: Share) -> Incoming:
    request = _decode(await stream.receive())
    match request.WhichOneof("message"):
        case "batch":
            return await _next_batch(stream, request.batch, share)
        case "begin" | "resume" | "end":
            return _of_segment(request)
        case "pass_begin" | "chunk_begin" | "chunk_end" | "pass_end":
            return _of_pass(request)
        case None:
            raise ProtocolViolationError("an empty message")
        case _:
            return _of_conversation(request)


def _of_conversation(request: wire.ReplicateRequest) -> Incoming:
    match request.WhichOneof("message"):
        case "open":
            return _open(request.open)
        case "present":
            _check_grant(request.present.grant)
            return Present(request.present.grant)
        case "digests":
            return _question(request.digests)
        case _:
            giving_up = request.abandon
            _check_numbers(giving_up.sequence, giving_up.attempt)
            return Abandon(giving_up.generation, giving_up.sequence, giving_up.attempt)


def _of_segment(request: wire.ReplicateRequest) -> Incoming:
    match request.WhichOneof("message"):
        case "begin":
            return Begin(_header(request.begin.header))
        case "resume":
            _check_numbers(request.resume.attempt, request.resume.records)
            return Resume(request.resume.attempt, request.resume.records)
        case _:
            return End(*_ending(request.end))


def _of_pass(request: wire.ReplicateRequest) -> Incoming:
    match request.WhichOneof("message"):
        case "pass_begin":
            return BeginPass(_header(request.pass_begin.header))
        case "chunk_begin":
            _check_numbers(request.chunk_begin.number)
            return BeginChunk(request.chunk_begin.number)
        case "chunk_end":
            return _chunk_end(request.chunk_end)
        case _:
            return EndPass(*_ending(request.pass_end))


def _open(opening: wire.OpenReplica) -> Open:
    _check_grant(opening.grant)
    epoch = opening.epoch
    return Open(opening.protection_id[:_MAX_TEXT], epoch.number, epoch.generation, opening.grant)


def _header(header: bytes) -> bytes:
    _require(len(header) <= MAX_HEADER_BYTES, f"a header of {len(header)} bytes")
    return header


def _ending(ending: wire.SegmentEnd | wire.PassEnd) -> tuple[bytes, bytes]:
    trailer, digest = ending.trailer, ending.chain_digest
    _require(len(trailer) <= MAX_TRAILER_BYTES, f"a trailer of {len(trailer)} bytes")
    _require(len(digest) == _DIGEST_BYTES, f"a chain digest of {len(digest)} bytes")
    return trailer, digest


def _chunk_end(ending: wire.ChunkEnd) -> EndChunk:
    count, digest = len(ending.watermarks), ending.digest
    _require(0 < count <= MAX_DISKS, f"{count} watermarks")
    _check_numbers(*ending.watermarks)
    _require(len(digest) == _DIGEST_BYTES, f"a chunk's digest of {len(digest)} bytes")
    return EndChunk(tuple(ending.watermarks), digest)


def _question(request: wire.DigestRequest) -> AskDigests:
    count = len(request.ranges)
    _require(0 < count <= MAX_RANGES, f"{count} ranges to compare")
    _check_numbers(request.sequence)
    return AskDigests(request.sequence, tuple(_range(asked) for asked in request.ranges))


def _range(asked: wire.DigestRange) -> Range:
    _check_numbers(asked.offset)
    _require(0 < asked.length <= MAX_RANGE_BYTES, f"{asked.length} bytes to compare at once")
    return asked.disk, asked.offset, asked.length


def _check_grant(grant: bytes) -> None:
    _require(len(grant) <= MAX_GRANT_BYTES, f"a grant of {len(grant)} bytes")


def _check_numbers(*numbers: int) -> None:
    _require(max(numbers) < _MAX_NUMBER, "a number that cannot exist")


async def _next_batch(stream: MessageStream, manifest: wire.Batch, share: Share) -> Batch:
    parts = len(manifest.payload_lengths)
    _require(parts <= MAX_PAYLOADS, f"a batch of {parts} payloads")
    lengths = list(manifest.payload_lengths)
    _require(
        all(0 < length <= MAX_PAYLOAD_BYTES for length in lengths)
        and sum(lengths) <= MAX_BATCH_PAYLOAD_BYTES,
        f"payloads of {lengths} bytes",
    )
    count, rest = divmod(len(manifest.records), RECORD_BYTES)
    _require(not rest and 0 < count <= MAX_BATCH_RECORDS, f"{count} records and {rest} bytes")
    await share.take(len(manifest.records) + sum(lengths))
    payloads: list[bytes] = []
    for length in lengths:
        payload = await _receive_within(stream, PAYLOAD_SECONDS, "stopped inside a batch")
        _require(len(payload) == length, f"a payload of {len(payload)} bytes, not {length}")
        payloads.append(payload)
    return Batch(manifest.records, tuple(payloads))


async def _receive_within(stream: MessageStream, seconds: float, problem: str) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await stream.receive()
    except TimeoutError as error:
        raise StreamClosedError(f"host {stream.peer} {problem} for {seconds:.0f} s") from error


def _decode(message: bytes) -> wire.ReplicateRequest:
    length = len(message)
    _require(length <= MAX_MESSAGE_BYTES, f"a message of {length} bytes")
    _require(length <= MAX_SMALL_BYTES or _is_one_batch(message), f"no batch, and {length} bytes")
    try:
        return wire.ReplicateRequest.FromString(message)
    except DecodeError as error:
        raise ProtocolViolationError(f"{length} bytes that are no message") from error


def _is_one_batch(message: bytes) -> bool:
    """Tell whether the whole message is a single batch, without decoding it."""
    length = shift = 0
    place = len(_BATCH_TAG)
    while message[place] & 0x80 and shift < 28:
        length |= (message[place] & 0x7F) << shift
        shift, place = shift + 7, place + 1
    length |= message[place] << shift
    return message.startswith(_BATCH_TAG) and length == len(message) - place - 1


def _require(is_right: bool, problem: str) -> None:
    if not is_right:
        raise ProtocolViolationError(problem)
