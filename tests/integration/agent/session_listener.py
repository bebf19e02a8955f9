"""A vault that is only its session listener: it notes who comes with which certificate, and says what a test says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio
from typing_extensions import override

from replikera.channel import RpcContext, caller_of, mutual_tls_server
from replikera.channel.limits import Limits
from replikera.identity import Role
from replikera.wire.v1 import session_pb2, session_pb2_grpc
from tests.integration.agent.listeners import certificate_for
from tests.support.authority import VAULT_ID, Authority

HOST = "host-1"
SECONDS = 30.0


@dataclass(eq=False)
class ServedSession:
    """One session of the host. `serial` is that of the certificate it came with."""

    serial: int
    hello: session_pb2.Hello
    orders: "asyncio.Queue[session_pb2.SessionResponse]" = field(default_factory=asyncio.Queue)
    received: list[session_pb2.SessionRequest] = field(default_factory=list)
    is_over: bool = False


class SessionListener(session_pb2_grpc.HostSessionServiceServicer):
    """The newest session takes the place of the one before, as in a real vault."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self.sessions: list[ServedSession] = []
        self.renewals = 0
        self.is_refusing_renewals = False
        self.changed = asyncio.Event()
        self.overlaps = 0
        self.port = 0

    @override
    async def Session(  # type: ignore[override]  # answers through the context, as gRPC allows too
        self, request_iterator: AsyncIterator[session_pb2.SessionRequest], context: RpcContext
    ) -> None:
        hello = (await anext(request_iterator)).hello
        session = ServedSession(caller_of(context).serial, hello)
        if self.sessions and not self.sessions[-1].is_over:
            self.overlaps += 1
            self.sessions[-1].orders.put_nowait(session_pb2.SessionResponse())
        self.sessions.append(session)
        welcome = session_pb2.Welcome(
            host_id=HOST, control_version=len(self.sessions), control_digest=bytes(32)
        )
        await context.write(session_pb2.SessionResponse(welcome=welcome))
        self.changed.set()
        tasks = [
            asyncio.create_task(self._send(session, context)),
            asyncio.create_task(self._receive(session, request_iterator, context)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            session.is_over = True
            self.changed.set()

    @override
    async def RenewCertificate(
        self, request: session_pb2.RenewCertificateRequest, context: RpcContext
    ) -> session_pb2.RenewCertificateResponse:
        self.renewals += 1
        self.changed.set()
        if self.is_refusing_renewals:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "Host a-host is quarantined.")
        chain = certificate_for(self._authority, request.certificate_signing_request, HOST)
        return session_pb2.RenewCertificateResponse(certificate_chain=chain)

    async def until(self, count: int) -> ServedSession:
        """Return the newest session once there have been so many."""
        async with asyncio.timeout(SECONDS):
            while len(self.sessions) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.sessions[-1]

    async def received(self, kind: str) -> session_pb2.SessionRequest:
        """Return the first message of a kind in the newest session."""
        async with asyncio.timeout(SECONDS):
            while True:
                for request in self.sessions[-1].received:
                    if request.WhichOneof("message") == kind:
                        return request
                self.changed.clear()
                await self.changed.wait()

    async def _send(self, session: ServedSession, context: RpcContext) -> None:
        while (message := await session.orders.get()).WhichOneof("message") is not None:
            await context.write(message)

    async def _receive(
        self,
        session: ServedSession,
        requests: AsyncIterator[session_pb2.SessionRequest],
        context: RpcContext,
    ) -> None:
        async for request in requests:
            session.received.append(request)
            self.changed.set()
            if request.HasField("heartbeat"):
                answer = session_pb2.HeartbeatAnswer(number=request.heartbeat.number)
                await context.write(session_pb2.SessionResponse(heartbeat=answer))


@asynccontextmanager
async def listening(authority: Authority) -> AsyncIterator[SessionListener]:
    """Serve on a free port."""
    vault = SessionListener(authority)

    def register(server: grpc.aio.Server) -> None:
        session_pb2_grpc.add_HostSessionServiceServicer_to_server(vault, server)

    holder = authority.holder(Role.VAULT, VAULT_ID)
    server = mutual_tls_server("127.0.0.1:0", holder, register, Limits(4 << 20))
    await server.start()
    vault.port = server.port
    try:
        yield vault
    finally:
        await server.stop(0)
