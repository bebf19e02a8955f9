"""The vault's end of a call, without a network."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import grpc
import grpc.aio

from replikera.identity import Credentials, Role
from replikera.wire.v1 import session_pb2
from tests.support.authority import make_authority

AUTHORITY = make_authority()


def credentials(role: Role, name: str, vault_id: str) -> Credentials:
    return AUTHORITY.issue(role, name, vault_id=vault_id)


class AbortedError(Exception):
    """How the call ended."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name} {details}")
        self.code = code
        self.details = details


class FakeContext:
    """A context whose peer has a certificate, or none."""

    def __init__(
        self, caller: Credentials | None = None, *, tls: bytes = b"TLSv1.3", peer: str = "ipv4:1:2"
    ) -> None:
        self._properties: dict[str, list[bytes]] = {"ssl_tls_version": [tls]}
        if caller is not None:
            self._properties["x509_pem_cert"] = [caller.certificate_chain]
        self._peer = peer
        self.written: asyncio.Queue[session_pb2.SessionResponse] = asyncio.Queue()
        self.is_broken = False

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._properties

    def peer(self) -> str:
        return self._peer

    async def write(self, message: session_pb2.SessionResponse) -> None:
        if self.is_broken:
            raise asyncio.InvalidStateError("gone")
        self.written.put_nowait(message)

    async def abort(self, code: grpc.StatusCode, details: str = "") -> NoReturn:
        raise AbortedError(code, details)


class Requests:
    """What a host sends, as it is sent."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[session_pb2.SessionRequest | None] = asyncio.Queue()

    def send(self, **message: Any) -> None:
        self._queue.put_nowait(session_pb2.SessionRequest(**message))

    def end(self) -> None:
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[session_pb2.SessionRequest]:
        while (message := await self._queue.get()) is not None:
            yield message
