"""A conversation over its stream: what comes is done, what is due is sent."""

import asyncio
from typing import NoReturn

from agent.control.anchor import VaultNotObeyedError
from agent.control.conversation import Conversation
from agent.control.duties import Duties
from agent.control.stream import SessionStream
from replikera.ports.clock import Clock
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import session_pb2

TICK_SECONDS = 0.5
"""How often it is looked for what is due; what is urgent does not wait for it."""

WELCOME_SECONDS = 15.0

ENDS = (StreamClosedError, VaultNotObeyedError, OSError)
"""What ends a conversation and is no fault of this agent's."""


class Exchange:
    """One conversation from Hello to its end. `urgent` is set by whoever has something to send."""

    def __init__(
        self,
        stream: SessionStream,
        conversation: Conversation,
        duties: Duties,
        clock: Clock,
        urgent: asyncio.Event,
    ) -> None:
        self._stream = stream
        self._conversation = conversation
        self._duties = duties
        self._clock = clock
        self._urgent = urgent

    @property
    def is_reconciling(self) -> bool:
        """Tell whether the vault only asks, and is not obeyed."""
        return self._conversation.is_reconciling

    async def greet(self) -> session_pb2.SessionResponse:
        """Say hello; return the vault's first message. Raises one of `ENDS`."""
        try:
            async with asyncio.timeout(WELCOME_SECONDS):
                await self._stream.send(self._conversation.hello())
                return await self._stream.receive()
        except TimeoutError as error:
            raise StreamClosedError("the vault did not welcome this host in time") from error

    async def begin(self, first: session_pb2.SessionResponse) -> None:
        """Act on the vault's first message. Raises one of `ENDS`."""
        await self._act(first)

    async def run(self) -> NoReturn:
        """Converse until the end, and raise what it was: one of `ENDS`."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive())
                group.create_task(self._send())
                await self._tick()
        except ExceptionGroup as group:
            ended, other = group.split(ENDS)
            if other is not None or ended is None:
                raise
            raise ended.exceptions[0] from None

    async def close(self) -> None:
        """End it; idempotent."""
        await self._stream.close()

    async def _receive(self) -> NoReturn:
        while True:
            await self._act(await self._stream.receive())
            # An answer may be what the next page of points waits for.
            self._urgent.set()

    async def _act(self, message: session_pb2.SessionResponse) -> None:
        deed = self._conversation.receive(message, self._clock.monotonic())
        reply = await self._duties.do(deed)
        if reply is not None:
            self._conversation.reply(reply)

    async def _send(self) -> NoReturn:
        while True:
            self._urgent.clear()
            for message in self._conversation.due(self._clock.monotonic()):
                await self._stream.send(message)
            await self._urgent.wait()

    async def _tick(self) -> NoReturn:
        while True:
            await self._clock.sleep(TICK_SECONDS)
            self._urgent.set()
