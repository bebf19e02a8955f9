"""`HostSessionService`: one long conversation with every connected host.

Orders come from the store alone: what is there without an outcome is sent once a session, oldest first, on connect and
whenever a decision made a new one. So nothing that was decided can be lost, and a repeated order is the host's to
recognise.
"""

import asyncio
from collections.abc import AsyncIterator

import grpc
import structlog

from coordinator.domain.errors import DomainError, InvalidValueError
from coordinator.domain.identifiers import HostId
from coordinator.domain.orders import Order
from coordinator.orchestration.host_messages import introduce, leave
from coordinator.orchestration.presence import EndReason, HostSession
from coordinator.orchestration.vault import Vault
from coordinator.rpc import reactions, translate
from coordinator.rpc.errors import StatusError, status_error
from coordinator.rpc.guard import Guard
from coordinator.rpc.permissions import HOST_SESSION
from coordinator.store.errors import StoreError
from replikera.channel import RpcContext
from replikera.identity import Caller
from replikera.wire.v1 import session_pb2

HELLO_SECONDS = 10.0
WRITE_SECONDS = 30.0
"""How long a host may take to read one message before its session ends."""

MAX_REFUSALS_LOGGED = 64

log = structlog.get_logger()


class _HostLeftError(Exception):
    """The host ended the conversation, or does not read it any more."""


class HostSessionService:
    """Serves the sessions of all hosts."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._sessions = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def finished(self) -> None:
        """Return when no session runs: a stopped listener does not wait for what it cancelled."""
        await self._idle.wait()

    def register(self, server: grpc.aio.Server) -> None:
        """Serve the method of this service."""
        guard = Guard(self._vault.record.id)
        handler = grpc.stream_stream_rpc_method_handler(
            guard.stream_call(HOST_SESSION, "Session", self._serve),
            request_deserializer=session_pb2.SessionRequest.FromString,
            response_serializer=session_pb2.SessionResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(HOST_SESSION, {"Session": handler}),)
        )

    async def _serve(
        self,
        caller: Caller,
        requests: AsyncIterator[session_pb2.SessionRequest],
        context: RpcContext,
    ) -> None:
        self._sessions += 1
        self._idle.clear()
        try:
            await self._converse(caller, requests, context)
        finally:
            self._sessions -= 1
            if self._sessions == 0:
                self._idle.set()

    async def _converse(
        self,
        caller: Caller,
        requests: AsyncIterator[session_pb2.SessionRequest],
        context: RpcContext,
    ) -> None:
        host_id = HostId(caller.name)
        hello = await _hello(requests)
        facts = translate.host_facts(hello.facts)
        version = await introduce(self._vault, host_id, facts, hello.control_version)
        session = self._vault.presence.begin(host_id)
        conversation = _Conversation(self._vault, session, context)
        log.info("host connected", host=host_id, name=hello.facts.name)
        try:
            await conversation.welcome(version)
            await conversation.run(caller, requests)
        finally:
            self._vault.presence.end(session)
            await self._note_departure(session)

    async def _note_departure(self, session: HostSession) -> None:
        log.info("host disconnected", host=session.host_id, reason=session.end_reason)
        try:
            await leave(self._vault, session.host_id)
        except StoreError as error:
            # Only the time is lost; why the session ended must not be lost with it.
            log.warning("last contact not stored", host=session.host_id, error=str(error))


class _Conversation:
    """One session from welcome to end."""

    def __init__(self, vault: Vault, session: HostSession, context: RpcContext) -> None:
        self._vault = vault
        self._session = session
        self._context = context
        self._writing = asyncio.Lock()
        self._refusals: set[str] = set()

    async def welcome(self, control_version: int) -> None:
        """Answer the host's hello."""
        welcome = session_pb2.Welcome(
            host_id=self._session.host_id,
            control_version=control_version,
            now=translate.timestamp(self._vault.clock.now()),
        )
        await self._write(session_pb2.SessionResponse(welcome=welcome))

    async def run(
        self, caller: Caller, requests: AsyncIterator[session_pb2.SessionRequest]
    ) -> None:
        """Converse until one side ends it. Raises `StatusError` where this side had a reason to."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive(requests))
                tasks.create_task(self._deliver_orders())
                tasks.create_task(self._end_when_told())
                tasks.create_task(self._end_when_expired(caller))
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

    async def _receive(self, requests: AsyncIterator[session_pb2.SessionRequest]) -> None:
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
            return await reactions.react(self._vault, self._session.host_id, request)
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

    async def _deliver_orders(self) -> None:
        sent: set[str] = set()
        while True:
            await self._session.orders_waiting.wait()
            self._session.orders_waiting.clear()
            for order in await self._open_orders():
                if order.id not in sent:
                    sent.add(order.id)
                    message = translate.order_message(order)
                    await self._write(session_pb2.SessionResponse(order=message))

    async def _open_orders(self) -> tuple[Order, ...]:
        try:
            async with self._vault.store.read() as records:
                return await records.open_orders(self._session.host_id)
        except StoreError as error:
            raise status_error(error) from error

    async def _end_when_told(self) -> None:
        await self._session.ended.wait()
        if self._session.end_reason is EndReason.REPLACED:
            raise StatusError(
                grpc.StatusCode.ABORTED,
                "session-replaced",
                "A newer session of this host took the place of this one.",
                "If there is no other agent with this host's certificate, nothing is to be done.",
            )
        # The host finishes and leaves; the server's grace bounds how long it may take.
        await self._write(session_pb2.SessionResponse(drain=session_pb2.Drain()))

    async def _end_when_expired(self, caller: Caller) -> None:
        clock = self._vault.clock
        await clock.sleep((caller.not_after - clock.now()).total_seconds())
        raise StatusError(
            grpc.StatusCode.UNAUTHENTICATED,
            "certificate-expired",
            f"The certificate of host {caller.name} has expired.",
            "Invite it again and let it join under another name; its protections do not come along.",
        )

    async def _write(self, message: session_pb2.SessionResponse) -> None:
        try:
            async with self._writing, asyncio.timeout(WRITE_SECONDS):
                await self._context.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError, TimeoutError) as error:
            raise _HostLeftError from error


async def _hello(requests: AsyncIterator[session_pb2.SessionRequest]) -> session_pb2.Hello:
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            first = await anext(requests, None)
    except TimeoutError:
        first = None
    if first is None or not first.HasField("hello"):
        raise StatusError(
            grpc.StatusCode.INVALID_ARGUMENT,
            "no-hello",
            "The session did not begin with Hello.",
            "Update the agent to the version of the vault.",
        )
    return first.hello


def _first(group: BaseExceptionGroup[StatusError]) -> StatusError:
    """Return the reason that ended a conversation; the others followed from it or came too late."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    if not isinstance(found, StatusError):
        raise TypeError("a group of other errors") from found
    return found
