"""`HostSessionService`: one long conversation with every connected host, and the renewal of its certificate."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import structlog

from coordinator.domain.identifiers import HostId
from coordinator.orchestration.introductions import introduce
from coordinator.orchestration.presence import EndReason
from coordinator.orchestration.renewal import renew
from coordinator.orchestration.vault import Vault
from coordinator.rpc import messages, translate
from coordinator.rpc.conversation import Conversation
from coordinator.rpc.errors import StatusError
from coordinator.rpc.guard import Guard
from coordinator.rpc.permissions import HOST_SESSION
from replikera.channel import RpcContext
from replikera.identity import Caller
from replikera.wire.v1 import session_pb2

HELLO_SECONDS = 10.0

log = structlog.get_logger()


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
        """Serve the methods of this service."""
        guard = Guard(self._vault)
        session = guard.stream_call(HOST_SESSION, "Session", self._serve)
        renewal = guard.unary_call(HOST_SESSION, "RenewCertificate", self._renew)
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Session": grpc.stream_stream_rpc_method_handler(
                session,
                request_deserializer=session_pb2.SessionRequest.FromString,
                response_serializer=session_pb2.SessionResponse.SerializeToString,
            ),
            "RenewCertificate": grpc.unary_unary_rpc_method_handler(
                renewal,
                request_deserializer=session_pb2.RenewCertificateRequest.FromString,
                response_serializer=session_pb2.RenewCertificateResponse.SerializeToString,
            ),
        }
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(HOST_SESSION, handlers),)
        )

    async def _renew(
        self, caller: Caller, request: session_pb2.RenewCertificateRequest
    ) -> session_pb2.RenewCertificateResponse:
        member = await renew(self._vault, caller, request.certificate_signing_request)
        log.info(
            "host certificate renewed",
            host=member.host_id,
            not_after=member.not_after.isoformat(),
        )
        return session_pb2.RenewCertificateResponse(
            certificate_chain=member.certificate_chain,
            not_after=messages.timestamp(member.not_after),
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
        hello = translate.hello(await _hello(requests))
        introduction = await introduce(self._vault, caller, hello)
        session = self._vault.presence.begin(HostId(caller.name), hello.deny_list_version)
        if introduction.is_reconciling is not self._vault.reconciliation.is_reconciling:
            # It changed meanwhile, and the sessions of that moment were recalled without this one.
            session.end(EndReason.RECALLED)
        log.info("host connected", host=session.host_id, name=hello.name)
        try:
            conversation = Conversation(self._vault, session, caller, context)
            await conversation.run(hello, introduction, requests)
        finally:
            self._vault.presence.end(session)
            log.info("host disconnected", host=session.host_id, reason=session.end_reason)


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
