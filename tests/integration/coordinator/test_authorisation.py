"""Who may use what: every route of the vault against every kind of caller, over real mutual TLS."""

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from replikera.identity import Credentials, Role
from replikera.tls import client_tls
from tests.integration.coordinator.running_vault import SECONDS, RunningVault
from tests.support.authority import make_authority

ROLES = ("reader", "auditor", "operator", "contributor", "owner")


@dataclass(frozen=True)
class Row:
    """A route as the served description tells it."""

    method: str
    path: str
    roles: frozenset[str]

    @property
    def example(self) -> str:
        """Return a path of the row that names nothing there is."""
        return re.sub(r"\{\w+\}", "nobody", self.path)


async def table(vault: RunningVault) -> list[Row]:
    document = await vault.get("/openapi.json")
    return [
        Row(method.upper(), path.removeprefix("/api/v1"), frozenset(operation["x-roles"]))
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


@asynccontextmanager
async def connected(
    vault: RunningVault, context: ssl.SSLContext
) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield session


async def ask(
    vault: RunningVault, session: aiohttp.ClientSession, row: Row
) -> tuple[int, str | None]:
    """Return status and, of a problem, its code."""
    async with session.request(
        row.method,
        f"https://127.0.0.1:{vault.ports.api}/api/v1{row.example}",
        data=b"{}" if row.method == "POST" else None,
        server_hostname=vault.peer_name,
    ) as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        if response.content_type != "application/problem+json":
            await response.read()
            return response.status, None
        body: dict[str, Any] = await response.json(content_type=None)
        return response.status, body["code"]


async def refused_callers(vault: RunningVault) -> dict[str, Credentials]:
    """Return callers whose certificates are of this vault and who may not come in, by the code that says why."""
    revoked = await vault.new_operator("rene", "owner")
    await vault.post("/operators/rene/revoke", {"reason": "left"})
    superseded = await vault.new_operator("sven", "owner")
    await vault.renew(await vault.renew(superseded))
    host = await vault.add_host("a1", "a")
    return {
        "role-not-allowed": host.credentials,
        "certificate-denied": revoked,
        "certificate-superseded": superseded,
    }


async def test_every_route_is_open_to_its_roles_and_to_nobody_else(vault: RunningVault) -> None:
    rows = await table(vault)
    assert len(rows) > 40
    wrong = []
    for role in ROLES:
        credentials = await vault.new_operator(f"op-{role}", role)
        async with connected(vault, client_tls(credentials)) as session:
            for row in rows:
                status, code = await ask(vault, session, row)
                is_refused = (status, code) == (403, "role-not-allowed")
                if is_refused != (role not in row.roles) or status == 500:
                    wrong.append((role, row.method, row.path, status, code))
    assert wrong == []


async def test_no_route_is_open_to_who_is_not_an_operator_any_more(vault: RunningVault) -> None:
    callers = await refused_callers(vault)
    wrong = []
    for why, credentials in callers.items():
        async with connected(vault, client_tls(credentials)) as session:
            for row in await table(vault):
                status, code = await ask(vault, session, row)
                if (status, code) != (403, why):
                    wrong.append((why, row.method, row.path, status, code))
    assert wrong == []


@pytest.mark.parametrize("kind", ["nobody", "another authority", "another vault"])
async def test_no_route_is_reached_without_a_certificate_of_this_vault(
    vault: RunningVault, kind: str
) -> None:
    context = _stranger(vault, kind)
    reached = []
    async with connected(vault, context) as session:
        for row in await table(vault):
            try:
                reached.append((row.method, row.path, await ask(vault, session, row)))
            except aiohttp.ClientError:
                continue
    assert reached == []


def _stranger(vault: RunningVault, kind: str) -> ssl.SSLContext:
    if kind == "nobody":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=vault.root.decode())
        return context
    vault_id = vault.vault_id if kind == "another authority" else "another-vault"
    foreign = make_authority().issue(Role.OPERATOR, "ann", vault_id=vault_id)
    return client_tls(Credentials(foreign.certificate_chain, foreign.private_key, vault.root))


async def test_a_revoked_operator_is_shut_out_on_its_open_connection(vault: RunningVault) -> None:
    credentials = await vault.new_operator("rita", "reader")
    row = Row("GET", "/vault", frozenset())
    async with connected(vault, client_tls(credentials)) as session:
        assert (await ask(vault, session, row))[0] == 200
        await vault.post("/operators/rita/revoke", {})
        assert (await ask(vault, session, row))[0] == 403


async def test_a_renewed_certificate_takes_over_at_its_first_use(vault: RunningVault) -> None:
    old = await vault.new_operator("rita", "reader")
    new = await vault.renew(old)
    assert (await vault.call("GET", "/vault", credentials=old)).status == 200
    own = await vault.call("GET", "/operators/self", credentials=new)
    assert own.body["certificate"]["state"] == "active"
    refused = await vault.call("GET", "/vault", credentials=old)
    assert (refused.status, refused.body["code"]) == (403, "certificate-superseded")
