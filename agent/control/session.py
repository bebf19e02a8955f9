"""Keeps a conversation with the vault: dials, converses, and after any end dials again."""

import asyncio
from typing import NoReturn

import structlog

from agent.control.backlog import Backlog
from agent.control.control_version import ControlVersion
from agent.control.conversation import (
    CarryOut,
    Conversation,
    Deed,
    ForgetOutcome,
    Leave,
    Obey,
    VaultNotObeyedError,
)
from agent.control.orders import Orders
from agent.control.stream import SessionDialler, SessionStream
from replikera.cancellation import in_own_task
from replikera.ports.clock import Clock
from replikera.ports.randomness import Randomness
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import types_pb2

MIN_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 5.0
LASTING_SECONDS = 10.0
"""A conversation that held so long was a good one: the next dial does not wait longer than the first."""

TICK_SECONDS = 0.5
"""How often it is looked for what is due; what is urgent does not wait for it."""

WELCOME_SECONDS = 15.0

_ENDS = (StreamClosedError, VaultNotObeyedError, OSError)

log = structlog.get_logger(__name__)


class Session:
    """The host's session. Nothing of the data path waits for it."""

    def __init__(
        self,
        dialler: SessionDialler,
        orders: Orders,
        backlog: Backlog,
        *,
        host_id: str,
        facts: types_pb2.HostFacts,
        version: ControlVersion,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._dialler = dialler
        self._orders = orders
        self._backlog = backlog
        self._host_id = host_id
        self._facts = facts
        self._version = version
        self._clock = clock
        self._randomness = randomness
        self._urgent = asyncio.Event()
        backlog.on_urgent = self._urgent.set

    async def run(self) -> NoReturn:
        """Converse until cancelled; after every end wait a random time within a growing bound."""
        failures = 0
        last_reason = ""
        while True:
            begun = self._clock.monotonic()
            reason = await self._reason_of_end()
            if self._clock.monotonic() - begun >= LASTING_SECONDS:
                failures = 0
            # A vault that stays away fills no log.
            if reason != last_reason or failures == 0:
                log.warning("no session with the vault", cause=reason)
            last_reason = reason
            failures += 1
            longest = min(MAX_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS * 2.0 ** min(failures, 16))
            await self._clock.sleep(self._randomness.uniform(MIN_BACKOFF_SECONDS, longest))

    async def _reason_of_end(self) -> str:
        try:
            await in_own_task(self._converse())
        except _ENDS as error:
            return str(error)
        except ExceptionGroup as group:
            ended, other = group.split(_ENDS)
            if other is not None or ended is None:
                raise
            return str(ended.exceptions[0])

    async def _converse(self) -> NoReturn:
        stream = self._dialler.dial()
        try:
            conversation = Conversation(
                self._host_id, self._facts, self._version.number, self._backlog
            )
            await self._open(stream, conversation)
            log.info("session with the vault opened")
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive(stream, conversation))
                group.create_task(self._send(stream, conversation))
                await self._tick()
        finally:
            await stream.close()

    async def _open(self, stream: SessionStream, conversation: Conversation) -> None:
        try:
            async with asyncio.timeout(WELCOME_SECONDS):
                await stream.send(conversation.hello())
                message = await stream.receive()
        except TimeoutError as error:
            raise StreamClosedError("the vault did not welcome this host in time") from error
        await self._do(conversation.receive(message, self._clock.monotonic()))

    async def _receive(self, stream: SessionStream, conversation: Conversation) -> NoReturn:
        while True:
            message = await stream.receive()
            await self._do(conversation.receive(message, self._clock.monotonic()))
            # An answer may be what the next page of points waits for.
            self._urgent.set()

    async def _send(self, stream: SessionStream, conversation: Conversation) -> NoReturn:
        while True:
            self._urgent.clear()
            for message in conversation.due(self._clock.monotonic()):
                await stream.send(message)
            await self._urgent.wait()

    async def _tick(self) -> NoReturn:
        while True:
            await self._clock.sleep(TICK_SECONDS)
            self._urgent.set()

    async def _do(self, deed: Deed | None) -> None:
        match deed:
            case Obey(number):
                await self._version.raise_to(number)
            case CarryOut(order):
                self._orders.submit(order)
            case ForgetOutcome(order_id):
                await self._orders.accepted(order_id)
            case Leave():
                raise StreamClosedError("the vault is about to stop")
            case None:
                pass
