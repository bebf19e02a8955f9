"""Keeps a conversation with the vault: dials, converses, and after any end dials again.

When the certificate was renewed the next conversation is opened with the new one before the present one is left: the
vault takes the new session for the old one's place, and nothing is missed in between.
"""

import asyncio
from dataclasses import dataclass
from typing import NoReturn

import structlog

from agent.control.anchor import ControlAnchor
from agent.control.backlog import Backlog
from agent.control.conversation import Conversation
from agent.control.duties import Duties
from agent.control.exchange import ENDS, Exchange
from agent.control.introduction import Introduction
from agent.control.stream import SessionDialler
from replikera.cancellation import in_own_task
from replikera.ports.clock import Clock
from replikera.ports.randomness import Randomness
from replikera.wire.v1 import session_pb2

MIN_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 5.0
LASTING_SECONDS = 10.0
"""A conversation that held so long was a good one: the next dial does not wait longer than the first."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Change:
    """From one conversation to the next. `end` is how the present one ended while the next was being opened."""

    is_greeting: bool = False
    end: Exception | None = None


class Session:
    """The host's session. Nothing of the data path waits for it."""

    def __init__(
        self,
        dialler: SessionDialler,
        introduction: Introduction,
        duties: Duties,
        backlog: Backlog,
        *,
        host_id: str,
        anchor: ControlAnchor,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._dialler = dialler
        self._introduction = introduction
        self._duties = duties
        self._backlog = backlog
        self._host_id = host_id
        self._anchor = anchor
        self._clock = clock
        self._randomness = randomness
        self._urgent = asyncio.Event()
        self._renewed = asyncio.Event()
        backlog.on_urgent = self._urgent.set

    def renewed(self) -> None:
        """Go over to a conversation with the new certificate."""
        self._renewed.set()

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
        except ENDS as error:
            return str(error)
        except ExceptionGroup as group:
            ended, other = group.split(ENDS)
            if other is not None or ended is None:
                raise
            return str(ended.exceptions[0])

    async def _converse(self) -> NoReturn:
        current = await self._dial()
        try:
            first = await current.greet()
            while True:
                await current.begin(first)
                log.info("session with the vault opened", is_reconciling=current.is_reconciling)
                successor, first = await self._until_renewed(current)
                await current.close()
                current = successor
        finally:
            await current.close()

    async def _until_renewed(
        self, current: Exchange
    ) -> tuple[Exchange, session_pb2.SessionResponse]:
        """Converse until the next conversation is open, and return that with what the vault said first."""
        change = _Change()
        async with asyncio.TaskGroup() as group:
            holding = group.create_task(self._hold(current, change))
            successor = await self._successor(change)
            holding.cancel()
        return successor

    async def _hold(self, current: Exchange, change: _Change) -> None:
        try:
            await current.run()
        except ENDS as error:
            # The vault may end this session in the moment in which it knows of the next one.
            if not change.is_greeting:
                raise
            change.end = error

    async def _successor(self, change: _Change) -> tuple[Exchange, session_pb2.SessionResponse]:
        await self._renewed.wait()
        last_reason = ""
        while True:
            successor = await self._dial()
            change.is_greeting = True
            try:
                return successor, await successor.greet()
            except ENDS as error:
                await successor.close()
                change.is_greeting = False
                if change.end is not None:
                    raise change.end from error
                if str(error) != last_reason:
                    log.warning("no session with the renewed certificate", cause=str(error))
                last_reason = str(error)
            except BaseException:
                await successor.close()
                raise
            await self._clock.sleep(self._randomness.uniform(1.0, MAX_BACKOFF_SECONDS))

    async def _dial(self) -> Exchange:
        self._renewed.clear()
        conversation = Conversation(
            self._host_id, await self._introduction.hello(), self._anchor, self._backlog
        )
        return Exchange(self._dialler.dial(), conversation, self._duties, self._clock, self._urgent)
