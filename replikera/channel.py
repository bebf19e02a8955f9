"""The only place that makes gRPC servers and channels: credentials, keepalive, limits, identities.

Measured facts behind the options: without `http2.ping_timeout_ms` a hung peer is noticed after a minute; gRPC's
own keepalive is off by default; its handshake timeout is two minutes; TLS 1.2 is accepted by default, so a peer
without TLS 1.3 is refused here when its identity is asked for, besides the suites that the package rules out.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import grpc
import grpc.aio
from cryptography import x509

from replikera.identity import (
    Caller,
    Credentials,
    IdentityError,
    Role,
    caller_from_certificate,
    dns_name,
)
from replikera.ports.streams import MessageStream, StreamClosedError
from replikera.wire.v1 import enrolment_pb2, enrolment_pb2_grpc

RpcContext: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Option: TypeAlias = tuple[str, int | str]

REPLICATION_METHOD = "/replikera.wire.v1.ReplicationService/Replicate"
_CONNECT_SECONDS = 10.0
_KEEPALIVE: tuple[Option, ...] = (
    ("grpc.keepalive_time_ms", 8_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
)
_AGE: tuple[Option, ...] = (
    ("grpc.max_connection_age_ms", 3_600_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
)
_COMMON: tuple[Option, ...] = (
    *_KEEPALIVE,
    ("grpc.max_metadata_size", 8_192),
    ("grpc.compression_enabled_algorithms_bitset", 1),
)
ENROLMENT_MESSAGE_BYTES = 16 * 1024
REPLICATION_MESSAGE_BYTES = 4 * 1024 * 1024 + 64 * 1024


class ChannelRefusedError(Exception):
    """The peer of a call has no acceptable identity."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one listener accepts: bytes a message and streams a connection.

    `ends_old_connections`: after an hour, so that a peer proves itself anew.
    """

    message_bytes: int
    concurrent_streams: int = 64
    ends_old_connections: bool = True


ENROLMENT_LIMITS = Limits(ENROLMENT_MESSAGE_BYTES, concurrent_streams=4)
# An initial replication may take a day on one stream, which gRPC would cut in the middle.
REPLICATION_LIMITS = Limits(REPLICATION_MESSAGE_BYTES, ends_old_connections=False)


class Server:
    """A listener. `address` is "host:port"; port 0 takes a free one, told by `port` after `start`."""

    def __init__(
        self,
        address: str,
        credentials: grpc.ServerCredentials,
        register: Callable[[grpc.aio.Server], None],
        limits: Limits,
    ) -> None:
        self._server = grpc.aio.server(options=_server_options(limits))
        register(self._server)
        try:
            self.port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise _cannot_listen(address) from error
        if self.port == 0:
            raise _cannot_listen(address)

    async def start(self) -> None:
        """Accept connections."""
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Refuse new calls, give the running ones `grace` seconds, end them."""
        await self._server.stop(grace)


def _cannot_listen(address: str) -> OSError:
    # gRPC's own text only says that it failed, and how to log more.
    return OSError(f"cannot listen on {address}: the address is in use, or not one of this machine")


def _server_options(limits: Limits) -> list[Option]:
    return [
        *_COMMON,
        ("grpc.so_reuseport", 0),
        ("grpc.server_handshake_timeout_ms", 5_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 4_000),
        ("grpc.max_concurrent_streams", limits.concurrent_streams),
        ("grpc.max_receive_message_length", limits.message_bytes),
        *(_AGE if limits.ends_old_connections else ()),
    ]


def mutual_tls_server(
    address: str,
    credentials: Credentials,
    register: Callable[[grpc.aio.Server], None],
    limits: Limits,
) -> Server:
    """Return a listener that demands a certificate of the vault from every caller."""
    pair = (credentials.private_key, credentials.certificate_chain)
    secure = grpc.ssl_server_credentials(
        [pair], root_certificates=credentials.root_certificate, require_client_auth=True
    )
    return Server(address, secure, register, limits)


def enrolment_server(
    address: str, credentials: Credentials, register: Callable[[grpc.aio.Server], None]
) -> Server:
    """Return a listener that proves itself and asks no certificate of the caller."""
    pair = (credentials.private_key, credentials.certificate_chain)
    return Server(address, grpc.ssl_server_credentials([pair]), register, ENROLMENT_LIMITS)


def caller_of(context: RpcContext) -> Caller:
    """Return the identity that the peer of a call proved. Raises `ChannelRefusedError`."""
    properties = context.auth_context()
    if list(properties.get("ssl_tls_version", ())) != [b"TLSv1.3"]:
        raise ChannelRefusedError("the connection does not use TLS 1.3")
    certificates = list(properties.get("x509_pem_cert", ()))
    if not certificates:
        raise ChannelRefusedError("the peer presented no certificate")
    try:
        return caller_from_certificate(certificates[0])
    except IdentityError as error:
        raise ChannelRefusedError(f"the peer's certificate names no identity: {error}") from error


def open_channel(address: str, *, peer_name: str, credentials: Credentials) -> grpc.aio.Channel:
    """Return a mutual TLS channel to `address` that accepts only the peer with DNS name `peer_name`."""
    secure = grpc.ssl_channel_credentials(
        credentials.root_certificate, credentials.private_key, credentials.certificate_chain
    )
    return grpc.aio.secure_channel(address, secure, options=_channel_options(peer_name))


def open_enrolment_channel(
    address: str, *, peer_name: str, root_certificate: bytes
) -> grpc.aio.Channel:
    """Return a channel that verifies the vault and proves nothing of the caller."""
    secure = grpc.ssl_channel_credentials(root_certificate)
    return grpc.aio.secure_channel(address, secure, options=_channel_options(peer_name))


def _channel_options(peer_name: str) -> list[Option]:
    return [
        *_COMMON,
        ("grpc.ssl_target_name_override", peer_name),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", REPLICATION_MESSAGE_BYTES),
        ("grpc.initial_reconnect_backoff_ms", 500),
        ("grpc.max_reconnect_backoff_ms", 10_000),
        ("grpc.enable_retries", 0),
    ]


@dataclass(frozen=True, slots=True)
class UnverifiedVault:
    """What an enrolment listener says of itself before anybody checked it."""

    root_certificate: bytes
    peer_name: str


async def fetch_trust_root(address: str) -> UnverifiedVault:
    """Return the root that the listener at `address` claims; trust it only if its fingerprint is the expected one.

    Raises `ConnectionError` where nothing answers as an enrolment listener does.
    """
    leaf = await _unverified_leaf(address)
    peer_name = _only_dns_name(leaf)
    # The leaf as its own trust anchor encrypts this one question; the answer is checked by its hash.
    async with open_enrolment_channel(
        address, peer_name=peer_name, root_certificate=leaf
    ) as channel:
        stub = enrolment_pb2_grpc.EnrolmentServiceStub(channel)
        try:
            answer = await stub.GetTrustRoot(
                enrolment_pb2.GetTrustRootRequest(), timeout=_CONNECT_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise ConnectionError(
                f"{address} does not answer as a vault: {error.details()}"
            ) from error
    return UnverifiedVault(answer.root_certificate, peer_name)


async def _unverified_leaf(address: str) -> bytes:
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=context)
    except (OSError, ValueError) as error:
        raise ConnectionError(f"no enrolment listener answers at {address}: {error}") from error
    connection = writer.get_extra_info("ssl_object")
    der = connection.getpeercert(binary_form=True)
    writer.transport.abort()
    if der is None:
        raise ConnectionError(f"{address} presented no certificate")
    return ssl.DER_cert_to_PEM_cert(der).encode()


def _only_dns_name(leaf: bytes) -> str:
    try:
        names = (
            x509.load_pem_x509_certificate(leaf)
            .extensions.get_extension_for_class(x509.SubjectAlternativeName)
            .value.get_values_for_type(x509.DNSName)
        )
    except (ValueError, x509.ExtensionNotFound) as error:
        raise ConnectionError(f"the listener's certificate is not a vault's: {error}") from error
    if len(names) != 1:
        raise ConnectionError(
            f"the listener's certificate has {len(names)} DNS names, expected one"
        )
    return names[0]


class _ServedStream:
    """The receiving end of a replication conversation."""

    def __init__(self, context: RpcContext, peer: str) -> None:
        self._context = context
        self._peer = peer

    @property
    def peer(self) -> str:
        return self._peer

    async def send(self, message: bytes) -> None:
        try:
            await self._context.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            raise StreamClosedError(f"host {self._peer} went away: {error}") from error

    async def receive(self) -> bytes:
        try:
            message = await self._context.read()
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            raise StreamClosedError(f"host {self._peer} went away: {error}") from error
        if not isinstance(message, bytes):
            raise StreamClosedError(f"host {self._peer} ended the conversation")
        return message


def replication_service(
    serve: Callable[[MessageStream], Awaitable[None]],
) -> grpc.GenericRpcHandler:
    """Return the handler of `ReplicationService`: messages are passed as bytes, only hosts are let in.

    `serve` returns to end the conversation.
    """

    async def replicate(_requests: AsyncIterator[bytes], context: RpcContext) -> None:
        try:
            caller = caller_of(context)
        except ChannelRefusedError as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        if caller.role is not Role.HOST:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "only hosts replicate")
        remaining = (caller.not_after - datetime.now(UTC)).total_seconds()
        try:
            # gRPC itself lets a stream outlive the certificate that it was opened with.
            async with asyncio.timeout(remaining):
                await serve(_ServedStream(context, caller.name))
        except TimeoutError:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the certificate has expired")

    _, service, method = REPLICATION_METHOD.split("/")
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(replicate)
    return grpc.method_handlers_generic_handler(service, {method: handler})


class _DialledStream:
    """The sending end of a replication conversation, with the channel it runs on."""

    def __init__(self, channel: grpc.aio.Channel, peer: str) -> None:
        self._channel = channel
        self._peer = peer
        self._call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(
            REPLICATION_METHOD
        )()

    @property
    def peer(self) -> str:
        return self._peer

    async def send(self, message: bytes) -> None:
        try:
            await self._call.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            raise StreamClosedError(self._ended(error)) from error

    async def receive(self) -> bytes:
        try:
            message = await self._call.read()
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            raise StreamClosedError(self._ended(error)) from error
        if not isinstance(message, bytes):
            raise StreamClosedError(f"host {self._peer} ended the conversation")
        return message

    async def close(self) -> None:
        self._call.cancel()
        await self._channel.close()

    async def ready(self) -> None:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await self._channel.channel_ready()

    def _ended(self, error: Exception) -> str:
        details = error.details() if isinstance(error, grpc.aio.AioRpcError) else str(error)
        return f"the conversation with host {self._peer} ended: {details}"


class GrpcDialler:
    """Opens replication conversations over mutual TLS with the identity of this host."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._vault_id = credentials.caller.vault_id

    async def dial(self, host_id: str, address: str) -> _DialledStream:
        """Connect to the agent of `host_id`; see `replikera.ports.streams.Dialler`."""
        peer_name = dns_name(Role.HOST, host_id, self._vault_id)
        channel = open_channel(address, peer_name=peer_name, credentials=self._credentials)
        try:
            stream = _DialledStream(channel, host_id)
            await stream.ready()
        except TimeoutError as error:
            await channel.close()
            raise StreamClosedError(
                f"host {host_id} cannot be reached at {address}, or another host answers there"
            ) from error
        except BaseException:
            await channel.close()
            raise
        return stream
