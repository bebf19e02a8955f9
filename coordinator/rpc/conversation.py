"""One session of a host, from welcome to end."""

import asyncio
from collections.abc import AsyncIterator
from typing import NoReturn

import grpc
import structlog

from coordinator.domain.errors import DomainError, InvalidValueError
from coordinator.domain.hello import HostHello
from coordinator.orchestration.introductions import Introduction
from coordinator.orchestration.presence import EndReason, HostSession
from coordinator.orchestration.trust import denial
from coordinator.orchestration.vault import Vault
from coordinator.rpc import messages, reactions
from coordinator.rpc.delivery import Delivery
from coordinator.rpc.errors import StatusError, expired, status_error
from coordinator.store.errors import StoreError
from replikera.channel import RpcContext
from replikera.identity import Caller
from replikera.wire.v1 import session_pb2

WRITE_SECONDS = 30.0
"""How long a host may take to read one message before its session ends."""

RECALL_SECONDS = 15.0
"""How long a host that is to dial again may take to finish."""

LOOK_SECONDS = 60.0
"""The wall clock may be set: how often it is asked whether the certificate has expired."""

MAX_REFUSALS_LOGGED = 64

log = structlog.get_logger()


class _HostLeftError(Exception):
    """The host ended the conversation, or does not read it any more."""


class Conversation:
    """What is said in one session. `caller` is who the certificate proves, and nobody else is spoken to."""

    def __init__(
        self, vault: Vault, session: HostSession, caller: Caller, context: RpcContext
    ) -> None:
        self._vault = vault
        self._session = session
        self._caller = caller
        self._context = context
        self._writing = asyncio.Lock()
        self._refusals: set[str] = set()

    async def run(
        self,
        hello: HostHello,
        introduction: Introduction,
        requests: AsyncIterator[session_pb2.SessionRequest],
    ) -> None:
        """Welcome the host and converse until one side ends it.

        Raises `StatusError` where this side had a reason to.
        """
        delivery = Delivery(self._vault, self._session, hello, self._write)
        try:
            await self._welcome(introduction)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive(requests))
                tasks.create_task(self._deliver(delivery))
                tasks.create_task(self._end_when_told())
                tasks.create_task(self._end_when_expired())
                tasks.create_task(self._end_when_denied())
        except _HostLeftError:
            log.debug("host left", host=self._session.host_id)
        except BaseExceptionGroup as group:
            # Not `except*`: before Python 3.11.4 it wraps what it raises in a group of its own.
            _, rest = group.split(_HostLeftError)
            if rest is None:
                log.debug("host left", host=self._session.host_id)
                return
            told, other = rest.split(StatusError)
            if told is None or other is not None:
                raise
            raise _first(told) from None

    async def _welcome(self, introduction: Introduction) -> None:
        now = self._vault.clock.now()
        await self._write(messages.welcome(self._session.host_id, introduction, now))
        if introduction.wants_deny_list:
            asked = session_pb2.SendDenyList()
            await self._write(messages.Answer(send_deny_list=asked))

    async def _receive(self, requests: AsyncIterator[session_pb2.SessionRequest]) -> NoReturn:
        async for request in requests:
            self._session.heard()
            answer = await self._react(request)
            if answer is not None:
                await self._write(answer)
        raise _HostLeftError

    async def _react(
        self, request: session_pb2.SessionRequest
    ) -> session_pb2.SessionResponse | None:
        """Return the answer. A message that breaks a rule is not answered; one that makes no sense ends the session."""
        try:
            return await reactions.react(self._vault, self._session, request)
        except (InvalidValueError, StoreError) as error:
            raise status_error(error) from error
        except DomainError as error:
            self._log_refusal(error)
            return None

    def _log_refusal(self, error: DomainError) -> None:
        # Reports repeat; one line tells it all, and a host cannot fill the disk with others.
        if str(error) not in self._refusals and len(self._refusals) < MAX_REFUSALS_LOGGED:
            self._refusals.add(str(error))
            log.warning(
                "host message refused",
                host=self._session.host_id,
                code=error.code,
                cause=error.cause,
                remedy=error.remedy,
            )

    async def _end_when_told(self) -> None:
        await self._session.ended.wait()
        if self._session.end_reason is EndReason.REPLACED:
            raise StatusError(
                grpc.StatusCode.ABORTED,
                "session-replaced",
                "A newer session of this host took the place of this one.",
                "If there is no other agent with this host's certificate, nothing is to be done.",
            )
        await self._write(messages.Answer(drain=session_pb2.Drain()))
        if self._session.end_reason is EndReason.RECALLED:
            await self._vault.clock.sleep(RECALL_SECONDS)
            raise StatusError(
                grpc.StatusCode.ABORTED,
                "session-recalled",
                "The vault asked this host to dial again, and it did not.",
                "Look at the log of its agent.",
            )
        # Of a vault that stops, the listener's grace bounds how long the host may take.

    async def _end_when_expired(self) -> NoReturn:
        clock = self._vault.clock
        while (left := (self._caller.not_after - clock.now()).total_seconds()) > 0:
            await clock.sleep(min(left, LOOK_SECONDS))
        self._session.note_end(EndReason.EXPIRED)
        raise expired(self._caller)

    async def _end_when_denied(self) -> NoReturn:
        await self._vault.denials.denied(self._caller)
        self._session.note_end(EndReason.DENIED)
        raise status_error(await self._denial())

    async def _denial(self) -> DomainError | StoreError:
        try:
            return await denial(self._vault, self._caller)
        except StoreError as error:
            # Why is not known; that the session ends is.
            return error

    @staticmethod
    async def _deliver(delivery: Delivery) -> NoReturn:
        try:
            await delivery.run()
        except StoreError as error:
            raise status_error(error) from error

    async def _write(self, message: session_pb2.SessionResponse) -> None:
        try:
            async with self._writing, asyncio.timeout(WRITE_SECONDS):
                await self._context.write(message)
        except (
            grpc.RpcError,
            grpc.aio.BaseError,
            asyncio.InvalidStateError,
            TimeoutError,
        ) as error:
            raise _HostLeftError from error


def _first(group: BaseExceptionGroup[StatusError]) -> StatusError:
    """Return the reason that ended a conversation; the others followed from it or came too late."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    if not isinstance(found, StatusError):
        raise TypeError("a group of other errors") from found
    return found
