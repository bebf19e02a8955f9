"""The contexts of the REST server and its clients demand certificates of the vault on both sides."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from replikera.identity import Credentials, CredentialsHolder, Role, caller_from_certificate
from replikera.tls import client_tls, server_tls
from tests.support.authority import VAULT_ID, Authority, make_authority

NAME = f"v.vault.{VAULT_ID}"
REFUSED = (ssl.SSLError, ConnectionError)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority()


@asynccontextmanager
async def listening(holder: CredentialsHolder) -> AsyncIterator[int]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_tls(holder))
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def greeted(port: int, context: ssl.SSLContext, name: str = NAME) -> ssl.SSLObject:
    """Say something and hear it: with TLS 1.3 a client learns that it is refused only by reading."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name
    )
    try:
        writer.write(b"hello\n")
        if await reader.readline() != b"hello\n":
            raise ConnectionError("closed")
        connection = writer.get_extra_info("ssl_object")
        assert isinstance(connection, ssl.SSLObject)
        return connection
    finally:
        writer.transport.abort()


def shown(connection: ssl.SSLObject) -> int:
    der = connection.getpeercert(binary_form=True)
    assert der is not None
    return caller_from_certificate(ssl.DER_cert_to_PEM_cert(der).encode()).serial


async def test_both_sides_prove_themselves_over_tls_1_3(authority: Authority) -> None:
    async with listening(authority.holder(Role.VAULT, "v")) as port:
        connection = await greeted(port, client_tls(authority.issue(Role.OPERATOR, "ann")))
        assert connection.version() == "TLSv1.3"


async def test_who_does_not_prove_himself_is_refused(authority: Authority) -> None:
    bare = ssl.create_default_context(cadata=authority.root_pem.decode())
    stranger = make_authority().issue(Role.OPERATOR, "ann")
    foreign = Credentials(stranger.certificate_chain, stranger.private_key, authority.root_pem)
    expired = authority.issue(Role.OPERATOR, "ann", valid_for=timedelta(hours=-1))
    async with listening(authority.holder(Role.VAULT, "v")) as port:
        for context in (bare, client_tls(foreign), client_tls(expired)):
            with pytest.raises(REFUSED):
                await greeted(port, context)


async def test_tls_1_2_is_refused(authority: Authority) -> None:
    old = client_tls(authority.issue(Role.OPERATOR, "ann"))
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listening(authority.holder(Role.VAULT, "v")) as port:
        with pytest.raises(REFUSED):
            await greeted(port, old)


async def test_a_client_believes_only_the_name_it_asked_for(authority: Authority) -> None:
    context = client_tls(authority.issue(Role.OPERATOR, "ann"))
    async with listening(authority.holder(Role.VAULT, "v")) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await greeted(port, context, f"w.vault.{VAULT_ID}")


async def test_a_new_connection_is_shown_the_newest_certificate(authority: Authority) -> None:
    holder = authority.holder(Role.VAULT, "v")
    first = holder.current.caller.serial
    context = client_tls(authority.issue(Role.OPERATOR, "ann"))
    async with listening(holder) as port:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=NAME
        )
        holder.replace(authority.issue(Role.VAULT, "v"))
        assert shown(await greeted(port, context)) == holder.current.caller.serial != first
        writer.write(b"still there\n")
        assert await reader.readline() == b"still there\n"
        writer.transport.abort()


async def test_no_connection_is_resumed(authority: Authority) -> None:
    context = client_tls(authority.issue(Role.OPERATOR, "ann"))
    async with listening(authority.holder(Role.VAULT, "v")) as port:
        connection = await greeted(port, context)
        assert connection.session is not None
        assert not connection.session.has_ticket
