"""What a target may say: its messages as values, within their bounds. No target's word is believed before this."""

from dataclasses import dataclass
from typing import TypeAlias

from google.protobuf.message import DecodeError

from agent.source.errors import RefusedError
from agent.source.status import Failure
from replikera.blocks.segment import MAX_DISK_BYTES, MAX_DISKS, NO_POINT
from replikera.wire.v1 import replication_pb2 as wire

MAX_COMPARED_RANGES = 256
"""Ranges of one question."""

DIGEST_BYTES = 32

_MAX_TEXT = 4096
_MAX_NUMBER = 2**62
"""More than any protection reaches, and less than what a state file holds."""


class AnswerError(ValueError):
    """The target said what no target says; the text says what."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The target's last durable point, `NO_POINT` and 0 for none, and the lowest attempt it takes next.

    `open_attempt` is the one whose first `durable_records` would survive a crash, 0 for none.
    """

    sequence: int
    digest: bytes
    attempt_floor: int
    open_attempt: int = 0
    durable_records: int = 0


@dataclass(frozen=True, slots=True)
class PassOpened:
    """How far the pass is durable; `records` and `payload_bytes` count over all of it."""

    chunk: int
    digest: bytes
    watermarks: tuple[int, ...]
    records: int
    payload_bytes: int
    is_seeded: bool


@dataclass(frozen=True, slots=True)
class SealedPoint:
    """A segment that is durable at the target."""

    generation: str
    sequence: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class AbandonedAttempts:
    """Attempts below the floor are over."""

    sequence: int
    attempt_floor: int


@dataclass(frozen=True, slots=True)
class DurableChunk:
    """A chunk of the pass, and all before it, survive a crash."""

    number: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class RangeDigests:
    """Digests of the ranges of one question, in their order."""

    sequence: int
    digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Received:
    """What has arrived of the present transfer, records and payload, and how many records are durable."""

    records: int
    payload_bytes: int
    durable_records: int


Answer: TypeAlias = (
    Opened
    | PassOpened
    | SealedPoint
    | AbandonedAttempts
    | DurableChunk
    | RangeDigests
    | Received
    | RefusedError
)


def parse_answer(message: bytes) -> Answer:
    """Return what a message says. Raises `AnswerError`."""
    try:
        response = wire.ReplicateResponse.FromString(message)
    except DecodeError as error:
        raise AnswerError(f"a message of {len(message)} bytes is none") from error
    match response.WhichOneof("message"):
        case "receipt" | "chunk_durable" | "digests":
            return _parse_progress(response)
        case "refused":
            return _refusal(response.refused)
        case "opened":
            return _opened(response.opened)
        case "pass_opened":
            return _pass_opened(response.pass_opened)
        case "sealed":
            sealed = response.sealed
            digest = _digest(sealed.chain_digest)
            return SealedPoint(sealed.generation, _number(sealed.sequence), digest)
        case "abandoned":
            answer = response.abandoned
            return AbandonedAttempts(_number(answer.sequence), _number(answer.attempt_floor))
        case None:
            raise AnswerError("it sent an empty message")


def _parse_progress(response: wire.ReplicateResponse) -> Answer:
    match response.WhichOneof("message"):
        case "receipt":
            receipt = response.receipt
            return Received(
                _number(receipt.received_records),
                _number(receipt.received_bytes),
                _number(receipt.durable_records),
            )
        case "chunk_durable":
            durable = response.chunk_durable
            return DurableChunk(_number(durable.number), _digest(durable.digest))
        case _:
            return _digests(response.digests)


def _refusal(refused: wire.Refused) -> RefusedError:
    failure = Failure(
        refused.failure.code[:_MAX_TEXT],
        refused.failure.cause[:_MAX_TEXT],
        refused.failure.remedy[:_MAX_TEXT],
    )
    return RefusedError(failure, is_diverged=refused.is_diverged)


def _opened(opened: wire.ReplicaOpened) -> Opened:
    numbers = (opened.attempt_floor, opened.open_attempt, opened.durable_records)
    floor, attempt, records = map(_number, numbers)
    if opened.sequence == 0:
        return Opened(0, NO_POINT, floor, attempt, records)
    digest = _digest(opened.chain_digest)
    return Opened(_number(opened.sequence), digest, floor, attempt, records)


def _pass_opened(opened: wire.PassOpened) -> PassOpened:
    watermarks = tuple(opened.watermarks)
    if len(watermarks) > MAX_DISKS or any(mark > MAX_DISK_BYTES for mark in watermarks):
        raise AnswerError(f"{len(watermarks)} watermarks that no machine has")
    return PassOpened(
        _number(opened.chunk),
        _digest(opened.digest),
        watermarks,
        _number(opened.records),
        _number(opened.payload_bytes),
        opened.is_seeded,
    )


def _digests(digests: wire.Digests) -> RangeDigests:
    count, rest = divmod(len(digests.digests), DIGEST_BYTES)
    if rest or count > MAX_COMPARED_RANGES:
        raise AnswerError(f"{len(digests.digests)} bytes of digests")
    split = tuple(
        digests.digests[place : place + DIGEST_BYTES]
        for place in range(0, len(digests.digests), DIGEST_BYTES)
    )
    return RangeDigests(_number(digests.sequence), split)


def _number(number: int) -> int:
    if number > _MAX_NUMBER:
        raise AnswerError(f"the number {number}")
    return number


def _digest(digest: bytes) -> bytes:
    if len(digest) != DIGEST_BYTES:
        raise AnswerError(f"a digest of {len(digest)} bytes")
    return digest
