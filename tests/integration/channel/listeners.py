"""Listeners of every kind on loopback, and what speaks to them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc.aio
from typing_extensions import override

from replikera.channel import (
    REPLICATION_LIMITS,
    Limits,
    RpcContext,
    caller_of,
    enrolment_server,
    mutual_tls_server,
    open_channel,
    replication_service,
)
from replikera.channel.dialling import DialledStream
from replikera.channel.limits import Option, channel_options
from replikera.denials import Denials
from replikera.identity import Credentials, CredentialsHolder, Role, dns_name
from replikera.ports.streams import MessageStream, StreamClosedError
from replikera.tls import client_tls
from replikera.wire.v1 import enrolment_pb2, enrolment_pb2_grpc
from tests.support.authority import VAULT_ID, Authority

TARGET = "aaaaaaaa-0000-4000-8000-000000000001"
SOURCE = "aaaaaaaa-0000-4000-8000-000000000002"
SECONDS = 60.0
"""Nothing is expected to take this long; what never happens fails here."""

UNARY = "/tests.Listener/Ask"
SMALL = Limits(message_bytes=4096)


async def echo(stream: MessageStream) -> None:
    """Answer every message with the name of its sender and the message."""
    try:
        while True:
            message = await stream.receive()
            await stream.send(stream.peer.encode() + b":" + message)
    except StreamClosedError:
        return


@asynccontextmanager
async def replication_listener(
    holder: CredentialsHolder,
    serve: Callable[[MessageStream], Awaitable[None]] = echo,
    denials: Denials | None = None,
    limits: Limits = REPLICATION_LIMITS,
) -> AsyncIterator[str]:
    service = replication_service(serve, denials or Denials(), VAULT_ID)
    server = mutual_tls_server(
        "127.0.0.1:0",
        holder,
        lambda target: target.add_generic_rpc_handlers((service,)),
        limits,
    )
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop(0)


@asynccontextmanager
async def serial_listener(holder: CredentialsHolder, limits: Limits = SMALL) -> AsyncIterator[str]:
    """Serve one method, which answers with the serial of the caller's certificate."""

    async def tell(_request: bytes, context: RpcContext) -> bytes:
        return caller_of(context).certificate_id.encode()

    _, service, method = UNARY.split("/")
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(tell)
    generic = grpc.method_handlers_generic_handler(service, {method: handler})
    server = mutual_tls_server(
        "127.0.0.1:0", holder, lambda target: target.add_generic_rpc_handlers((generic,)), limits
    )
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop(0)


class _Enrolment(enrolment_pb2_grpc.EnrolmentServiceServicer):
    def __init__(self, root: bytes) -> None:
        self._root = root

    @override
    async def Enrol(
        self, request: enrolment_pb2.EnrolRequest, context: object
    ) -> enrolment_pb2.EnrolResponse:
        raise AssertionError("nobody enrols here")

    @override
    async def GetTrustRoot(
        self, request: enrolment_pb2.GetTrustRootRequest, context: object
    ) -> enrolment_pb2.GetTrustRootResponse:
        return enrolment_pb2.GetTrustRootResponse(root_certificate=self._root)


@asynccontextmanager
async def enrolment_listener(holder: CredentialsHolder) -> AsyncIterator[str]:
    servicer = _Enrolment(holder.current.root_certificate)
    server = enrolment_server(
        "127.0.0.1:0",
        holder,
        lambda target: enrolment_pb2_grpc.add_EnrolmentServiceServicer_to_server(servicer, target),
    )
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop(0)


async def dial(credentials: Credentials, address: str, *options: Option) -> DialledStream:
    """Open a conversation as the dialler does, with whatever certificate."""
    peer_name = dns_name(Role.HOST, TARGET, VAULT_ID)
    secure = grpc.ssl_channel_credentials(
        credentials.root_certificate, credentials.private_key, credentials.certificate_chain
    )
    every = [*channel_options(peer_name), *options]
    stream = DialledStream(grpc.aio.secure_channel(address, secure, options=every), TARGET)
    assert await stream.failure_to_connect() is None
    return stream


async def ask(credentials: Credentials, address: str) -> bytes:
    """Call the one method of `serial_listener`, over a connection of its own."""
    peer_name = dns_name(Role.HOST, TARGET, VAULT_ID)
    async with open_channel(address, peer_name=peer_name, credentials=credentials) as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(UNARY)
        return await method(b"?", timeout=SECONDS)


def careless(credentials: Credentials | None) -> ssl.SSLContext:
    """Return a client's context that believes every server, and proves itself if it can."""
    context = client_tls(credentials) if credentials else ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


async def connected(
    address: str, context: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = address.split(":")
    async with asyncio.timeout(SECONDS):
        return await asyncio.open_connection(host, int(port), ssl=context)


def drop(writer: asyncio.StreamWriter) -> None:
    """End a connection without a farewell."""
    if not writer.transport.is_closing():
        writer.transport.abort()
    writer.close()


def foreign(own: Authority, stranger: Authority, role: Role, name: str) -> Credentials:
    """Return a stranger's certificate with the root of the vault."""
    return replace(stranger.issue(role, name), root_certificate=own.root_pem)
