"""The target's end of the replication protocol: lets in the replica's own source, checks every message, answers.

Before a source has shown that it may, only its first message is read. From then on a conversation has two parts. One
takes messages off the stream and decodes them, one message or batch ahead; the other acts on them in order and is the
only one that answers. Beside them, what arrives is made durable. The conversation ends with the grant that the source
presented last.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from agent.budget import ByteBudget, Share
from agent.grants import GrantReader
from agent.replica.accepted import AcceptedReplica
from agent.replica.errors import RESYNC, ReplicaError
from agent.replica.incoming import read_messages, read_opening
from agent.replica.messages import Incoming, Open, ProtocolViolationError
from agent.replica.permission import Permission, admitted
from agent.replica.reception import Reception
from agent.replica.replica import Replica
from agent.replica.replies import Replies
from agent.replica.store import ReplicaStore
from replikera.ports.clock import Clock
from replikera.ports.streams import MessageStream, StreamClosedError

ARRIVING_BYTES = 16 << 20
"""What of the batches of all conversations together has come in and is not written yet. One batch always fits."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Live:
    """The conversation that a protection has now."""

    tenure: asyncio.Timeout
    finished: asyncio.Event
    is_replaced: bool = False

    def replace(self) -> None:
        """End it soon, once."""
        if not self.is_replaced:
            self.is_replaced = True
            self.tenure.reschedule(0)


class Receiver:
    """Serves the replication conversations of one host."""

    def __init__(self, store: ReplicaStore, reader: GrantReader, clock: Clock) -> None:
        self._store = store
        self._reader = reader
        self._clock = clock
        self._budget = ByteBudget(ARRIVING_BYTES)
        self._live: dict[str, _Live] = {}

    async def serve(self, stream: MessageStream) -> None:
        """Hold one conversation; returns when it is over."""
        async with _told(stream):
            replica, permission = await self._admit(stream.peer, await read_opening(stream))
            with self._budget.share() as share:
                reception = Reception(stream, replica, permission, self._clock, share)
                await self._answer(stream, reception, share)

    async def _admit(self, peer: str, opening: Open) -> tuple[Replica, Permission]:
        replica = self._store.get(opening.protection_id)
        accepted = replica.accepted
        if peer != accepted.source_host_id:
            raise ReplicaError(
                "foreign-source",
                f"Host {peer} is not the source of protection {opening.protection_id}.",
                "Only the protected machine's host replicates it; enable protection there.",
            )
        _check_epoch(opening, accepted)
        grant = await admitted(replica, self._reader, opening.grant)
        return replica, Permission(replica, self._reader, self._clock, grant)

    async def _answer(self, stream: MessageStream, reception: Reception, share: Share) -> None:
        incoming: asyncio.Queue[Incoming] = asyncio.Queue(1)
        async with asyncio.TaskGroup() as group:
            companions = [
                group.create_task(read_messages(stream, incoming, share)),
                group.create_task(reception.permission.watch(incoming)),
                group.create_task(reception.segments.keep_durable()),
                group.create_task(reception.segments.watch_time()),
            ]
            try:
                # In here: what a group lets out it wraps.
                async with _told(stream):
                    await self._hold_alone(reception, incoming)
            finally:
                for companion in companions:
                    companion.cancel()

    async def _hold_alone(self, reception: Reception, incoming: "asyncio.Queue[Incoming]") -> None:
        """Hold a conversation after the older one about the protection: its host has lost or left that one."""
        protection_id = reception.protection_id
        while (older := self._live.get(protection_id)) is not None:
            older.replace()
            await older.finished.wait()
        live = _Live(asyncio.timeout(None), asyncio.Event())
        self._live[protection_id] = live
        try:
            async with live.tenure:
                await reception.hold(incoming)
        except TimeoutError:
            if not live.is_replaced:
                raise
            log.info("replication conversation replaced", protection=protection_id)
        finally:
            del self._live[protection_id]
            live.finished.set()


def _check_epoch(opening: Open, accepted: AcceptedReplica) -> None:
    if opening.epoch < accepted.epoch:
        raise ReplicaError(
            "stale-epoch",
            f"Epoch {opening.epoch} of protection {opening.protection_id} is over; "
            f"{accepted.epoch} is in force.",
            "This host is no longer the source; nothing is to be done.",
        )
    if opening.epoch > accepted.epoch:
        raise ReplicaError(
            "unknown-epoch",
            f"Epoch {opening.epoch} of protection {opening.protection_id} is not known here yet; "
            f"{accepted.epoch} is in force.",
            "Wait until the vault has told the target host; replication then continues by itself.",
        )
    if opening.generation != accepted.generation:
        raise ReplicaError(
            "foreign-generation",
            f"The replica of protection {opening.protection_id} belongs to another generation.",
            RESYNC,
            is_diverged=True,
        )


def _violation(peer: str, error: ProtocolViolationError) -> ReplicaError:
    return ReplicaError(
        "protocol-violation",
        f"Host {peer} broke the replication protocol: {error}.",
        "Install the same version of the agent on both hosts.",
    )


@asynccontextmanager
async def _told(stream: MessageStream) -> AsyncIterator[None]:
    """Tell the source why it is refused; one that is gone hears nothing."""
    try:
        try:
            yield
        except ReplicaError as error:
            await _refuse(stream, error)
        except ProtocolViolationError as error:
            await _refuse(stream, _violation(stream.peer, error))
    except StreamClosedError as error:
        log.info("replication conversation broke", source=stream.peer, cause=str(error))


async def _refuse(stream: MessageStream, error: ReplicaError) -> None:
    log.warning("replication refused", source=stream.peer, code=error.code, cause=error.cause)
    await Replies(stream).refused(error)
