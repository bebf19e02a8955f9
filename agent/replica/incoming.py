"""What a source may say: messages come off the stream here, decoded and within their bounds."""

import asyncio
from dataclasses import dataclass
from typing import TypeAlias

from google.protobuf.message import DecodeError

from agent.grants import MAX_GRANT_BYTES
from replikera.blocks.segment import (
    MAX_BATCH_RECORDS,
    MAX_HEADER_BYTES,
    MAX_TRAILER_BYTES,
    RECORD_BYTES,
)
from replikera.ports.streams import MessageStream, StreamClosedError
from replikera.wire.v1 import replication_pb2 as wire

MAX_PAYLOADS = 8
MAX_PAYLOAD_BYTES = 2 << 20
MAX_BATCH_PAYLOAD_BYTES = 16 << 20
"""Two batches a conversation are in memory at most: one being written, one coming in."""

MAX_MESSAGE_BYTES = MAX_BATCH_RECORDS * RECORD_BYTES + 4096
"""The largest message that is not payload: a batch's records."""

OPENING_SECONDS = 15.0
"""How long a host that has connected may take to say what it wants."""

_DIGEST_BYTES = 32
_MAX_TEXT = 64
_MAX_NUMBER = (1 << 63) - 1


class ProtocolViolationError(Exception):
    """The source sent what no source sends."""


@dataclass(frozen=True, slots=True)
class Open:
    """OpenReplica."""

    protection_id: str
    epoch: int
    generation: str
    grant: bytes


@dataclass(frozen=True, slots=True)
class Present:
    """PresentGrant."""

    grant: bytes


@dataclass(frozen=True, slots=True)
class GrantEnded:
    """Time has passed: what the source presented last permits nothing any more, unless a newer one came before."""


@dataclass(frozen=True, slots=True)
class Begin:
    """SegmentBegin."""

    header: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Batch with its payload messages."""

    records: bytes
    payloads: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class End:
    """SegmentEnd."""

    trailer: bytes
    chain_digest: bytes


@dataclass(frozen=True, slots=True)
class Abandon:
    """Abandon."""

    generation: str
    sequence: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream is over; `violation` says why where the source broke the protocol."""

    violation: ProtocolViolationError | None


Incoming: TypeAlias = Open | Present | GrantEnded | Begin | Batch | End | Abandon | Ended


async def read_opening(stream: MessageStream) -> Open:
    """Return the first message, before which nothing else is read.

    Raises `ProtocolViolationError` and `StreamClosedError`, also where none comes in time.
    """
    try:
        async with asyncio.timeout(OPENING_SECONDS):
            message = await stream.receive()
    except TimeoutError as error:
        raise StreamClosedError(f"host {stream.peer} said nothing") from error
    request = _decode(message)
    _require(
        request.WhichOneof("message") == "open", "the conversation does not begin with OpenReplica"
    )
    return _open(request.open)


async def read_messages(stream: MessageStream, incoming: "asyncio.Queue[Incoming]") -> None:
    """Put every message into `incoming`, at last how the stream ended."""
    violation: ProtocolViolationError | None = None
    try:
        while True:
            await incoming.put(await _next(stream))
    except ProtocolViolationError as error:
        violation = error
    except StreamClosedError:
        pass  # told below, behind what arrived before
    await incoming.put(Ended(violation))


async def _next(stream: MessageStream) -> Incoming:
    request = _decode(await stream.receive())
    match request.WhichOneof("message"):
        case "open":
            return _open(request.open)
        case "present":
            _check_grant(request.present.grant)
            return Present(request.present.grant)
        case "begin":
            header = request.begin.header
            _require(len(header) <= MAX_HEADER_BYTES, f"a header of {len(header)} bytes")
            return Begin(header)
        case "batch":
            return await _next_batch(stream, request.batch)
        case "end":
            trailer, digest = request.end.trailer, request.end.chain_digest
            _require(len(trailer) <= MAX_TRAILER_BYTES, f"a trailer of {len(trailer)} bytes")
            _require(len(digest) == _DIGEST_BYTES, f"a chain digest of {len(digest)} bytes")
            return End(trailer, digest)
        case "abandon":
            giving_up = request.abandon
            numbers = giving_up.sequence, giving_up.attempt
            _require(max(numbers) < _MAX_NUMBER, "an attempt that cannot exist")
            return Abandon(giving_up.generation, *numbers)
        case None:
            raise ProtocolViolationError("an empty message")


def _open(opening: wire.OpenReplica) -> Open:
    _check_grant(opening.grant)
    epoch = opening.epoch
    return Open(opening.protection_id[:_MAX_TEXT], epoch.number, epoch.generation, opening.grant)


def _check_grant(grant: bytes) -> None:
    _require(len(grant) <= MAX_GRANT_BYTES, f"a grant of {len(grant)} bytes")


async def _next_batch(stream: MessageStream, manifest: wire.Batch) -> Batch:
    lengths = list(manifest.payload_lengths)
    _require(len(lengths) <= MAX_PAYLOADS, f"a batch of {len(lengths)} payloads")
    _require(
        all(0 < length <= MAX_PAYLOAD_BYTES for length in lengths)
        and sum(lengths) <= MAX_BATCH_PAYLOAD_BYTES,
        f"payloads of {lengths} bytes",
    )
    count, rest = divmod(len(manifest.records), RECORD_BYTES)
    _require(not rest and 0 < count <= MAX_BATCH_RECORDS, f"{count} records and {rest} bytes")
    payloads: list[bytes] = []
    for length in lengths:
        payload = await stream.receive()
        _require(len(payload) == length, f"a payload of {len(payload)} bytes, not {length}")
        payloads.append(payload)
    return Batch(manifest.records, tuple(payloads))


def _decode(message: bytes) -> wire.ReplicateRequest:
    _require(len(message) <= MAX_MESSAGE_BYTES, f"a message of {len(message)} bytes")
    try:
        return wire.ReplicateRequest.FromString(message)
    except DecodeError as error:
        raise ProtocolViolationError(f"{len(message)} bytes that are no message") from error


def _require(is_right: bool, problem: str) -> None:
    if not is_right:
        raise ProtocolViolationError(problem)
