"""The host session's stream: what the session asks of it, and how gRPC provides it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import grpc
import grpc.aio

from replikera.channel import open_channel
from replikera.identity import Credentials, Role, dns_name
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import session_pb2, session_pb2_grpc

SEND_SECONDS = 15.0
"""How long the vault may take to read one message."""


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
    """Opens conversations over mutual TLS with the vault of these credentials and no other."""

    def __init__(self, address: str, credentials: Credentials) -> None:
        self._address = address
        self._credentials = credentials
        vault_id = credentials.caller.vault_id
        self._peer_name = dns_name(Role.VAULT, vault_id, vault_id)

    def dial(self) -> "GrpcSessionStream":
        """Begin to connect on a channel of its own: a broken one is never used again."""
        channel = open_channel(
            self._address, peer_name=self._peer_name, credentials=self._credentials
        )
        return GrpcSessionStream(channel)


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
        raise StreamClosedError(f"the vault is not available: {error.details()}") from error
    except (grpc.RpcError, asyncio.InvalidStateError) as error:
        raise StreamClosedError(f"the session broke: {error}") from error
