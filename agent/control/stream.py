"""The session listener as the agent sees it: the stream of the host session, and the renewal of certificates."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import grpc
import grpc.aio

from replikera.channel import open_channel
from replikera.identity import Credentials, CredentialsHolder, Role, dns_name
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import session_pb2, session_pb2_grpc

SEND_SECONDS = 15.0
"""How long the vault may take to read one message."""

RENEWAL_SECONDS = 30.0
"""How long the vault may take to answer with a certificate."""

_REFUSALS = frozenset({grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED})


class SessionStream(Protocol):
    """One conversation with the vault, opened by this side."""

    async def send(self, message: session_pb2.SessionRequest) -> None:
        """Send one message. Raises `StreamClosedError`."""

    async def receive(self) -> session_pb2.SessionResponse:
        """Return the next message. Raises `StreamClosedError`."""

    async def close(self) -> None:
        """End the conversation; idempotent."""


class SessionDialler(Protocol):
    """Opens conversations with the vault."""

    def dial(self) -> SessionStream:
        """Begin to connect; whether the vault answers shows in the first exchange."""


class GrpcSessionDialler:
    """Opens conversations over mutual TLS with the vault of the newest credentials and no other."""

    def __init__(self, address: str, holder: CredentialsHolder) -> None:
        self._address = address
        self._holder = holder

    def dial(self) -> "GrpcSessionStream":
        """Begin to connect on a channel of its own: a broken one is never used again."""
        return GrpcSessionStream(_channel(self._address, self._holder.current))


class GrpcRenewal:
    """Exchanges certificates for new ones at the vault's session listener."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def request(self, signing_request: bytes, credentials: Credentials) -> bytes:
        """Return the chain that the vault issues to whoever these credentials prove. Raises `StreamClosedError`."""
        message = session_pb2.RenewCertificateRequest(certificate_signing_request=signing_request)
        async with _channel(self._address, credentials) as channel:
            stub = session_pb2_grpc.HostSessionServiceStub(channel)
            with _stream_errors():
                answer = await stub.RenewCertificate(message, timeout=RENEWAL_SECONDS)
        return answer.certificate_chain


def _channel(address: str, credentials: Credentials) -> grpc.aio.Channel:
    vault_id = credentials.caller.vault_id
    peer_name = dns_name(Role.VAULT, vault_id, vault_id)
    return open_channel(address, peer_name=peer_name, credentials=credentials)


class GrpcSessionStream:
    """A call with the channel it runs on; the call is cancelled whenever it ends."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        stub = session_pb2_grpc.HostSessionServiceStub(channel)
        self._call: grpc.aio.StreamStreamCall[
            session_pb2.SessionRequest, session_pb2.SessionResponse
        ] = stub.Session()

    async def send(self, message: session_pb2.SessionRequest) -> None:
        """Send one message."""
        with _stream_errors():
            async with asyncio.timeout(SEND_SECONDS):
                await self._call.write(message)

    async def receive(self) -> session_pb2.SessionResponse:
        """Return the next message."""
        with _stream_errors():
            message = await self._call.read()
        if not isinstance(message, session_pb2.SessionResponse):
            raise StreamClosedError("the vault ended the session")
        return message

    async def close(self) -> None:
        """Cancel the call and close its channel."""
        self._call.cancel()
        await self._channel.close()


@contextmanager
def _stream_errors() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise StreamClosedError("the vault does not read what it is sent") from error
    except grpc.aio.AioRpcError as error:
        is_refused = error.code() in _REFUSALS
        what = "the vault refused this host" if is_refused else "the vault is not available"
        raise StreamClosedError(f"{what}: {error.details()}") from error
    except (grpc.RpcError, asyncio.InvalidStateError) as error:
        raise StreamClosedError(f"the session broke: {error}") from error
