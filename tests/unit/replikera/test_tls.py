"""The contexts of the REST server and its clients demand certificates of the vault on both sides."""

import asyncio
import ssl

import pytest

from replikera.identity import Role
from replikera.tls import client_tls, server_tls
from tests.support.authority import Authority, make_authority


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority()


async def test_the_rest_contexts_demand_a_certificate(authority: Authority) -> None:
    server = await asyncio.start_server(
        lambda _reader, writer: writer.close(),
        "127.0.0.1",
        0,
        ssl=server_tls(authority.issue(Role.VAULT, "v")),
    )
    port = server.sockets[0].getsockname()[1]
    bare = ssl.create_default_context(cadata=authority.root_pem.decode())
    bare.check_hostname = False
    try:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            reader, _ = await asyncio.open_connection("127.0.0.1", port, ssl=bare)
            if await reader.read() == b"":
                raise ConnectionError("closed")
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            port,
            ssl=client_tls(authority.issue(Role.OPERATOR, "ann")),
            server_hostname="v.vault.11111111-2222-4333-8444-555555555555",
        )
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        writer.close()
    finally:
        server.close()
        await server.wait_closed()
