"""Replication conversations over real mutual TLS: who is let in, who is not, and until when."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from grpc.experimental.session_cache import ssl_session_cache_lru

from replikera.channel import GrpcDialler, limits
from replikera.channel.dialling import DialledStream
from replikera.denials import Denials
from replikera.identity import CredentialsHolder, Role, uri_name
from replikera.ports.streams import MessageStream, StreamClosedError
from replikera.trust.deny_list import DeniedCertificate, DenyList
from tests.integration.channel.listeners import (
    SECONDS,
    SOURCE,
    TARGET,
    dial,
    echo,
    foreign,
    replication_listener,
)
from tests.support.authority import END, VAULT_ID, Authority, make_authority

NAME = uri_name(Role.HOST, SOURCE, VAULT_ID)
NOBODY = DenyList(VAULT_ID, 1, END, (), frozenset())


def by_serial(serial: int) -> DenyList:
    denied = DeniedCertificate(serial, NAME, END)
    return replace(NOBODY, version=2, certificates=(denied,))


def by_name(_serial: int) -> DenyList:
    return replace(NOBODY, version=2, identities=frozenset({NAME}))


async def end_of(stream: DialledStream) -> str:
    try:
        async with asyncio.timeout(SECONDS):
            while True:
                await stream.receive()
    except StreamClosedError as error:
        return str(error)
    finally:
        await stream.close()


async def test_messages_pass_both_ways_and_the_peer_is_the_certificates_host(
    authority: Authority,
) -> None:
    async with replication_listener(authority.holder(Role.HOST, TARGET)) as address:
        stream = await GrpcDialler(authority.holder(Role.HOST, SOURCE)).dial(TARGET, address)
        assert stream.peer == TARGET
        await stream.send(b"a" * (2 << 20))
        assert await stream.receive() == SOURCE.encode() + b":" + b"a" * (2 << 20)
        await stream.close()


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VAULT])
async def test_another_role_cannot_replicate(authority: Authority, role: Role) -> None:
    async with replication_listener(authority.holder(Role.HOST, TARGET)) as address:
        told = await end_of(await dial(authority.issue(role, "ann"), address))
    assert "role-not-allowed: only hosts of vault" in told
    assert f"this is spiffe://{VAULT_ID}/{role}/ann" in told


async def test_a_host_of_another_vault_under_the_same_root_cannot_replicate(
    authority: Authority,
) -> None:
    stranger = authority.issue(Role.HOST, SOURCE, vault_id="another")
    async with replication_listener(authority.holder(Role.HOST, TARGET)) as address:
        assert "role-not-allowed" in await end_of(await dial(stranger, address))


async def test_a_certificate_with_two_uri_names_is_refused(authority: Authority) -> None:
    two = authority.issue(Role.HOST, SOURCE, uris=["spiffe://v/host/a", "spiffe://v/host/b"])
    async with replication_listener(authority.holder(Role.HOST, TARGET)) as address:
        assert "names no identity" in await end_of(await dial(two, address))


@pytest.mark.parametrize("kind", ["foreign", "expired"])
async def test_a_host_of_another_authority_or_with_an_expired_certificate_is_refused(
    authority: Authority, kind: str
) -> None:
    if kind == "foreign":
        client = foreign(authority, make_authority(), Role.HOST, SOURCE)
    else:
        client = authority.issue(Role.HOST, SOURCE, valid_for=timedelta(hours=-1))
    async with replication_listener(authority.holder(Role.HOST, TARGET)) as address:
        with pytest.raises(StreamClosedError):
            stream = await GrpcDialler(CredentialsHolder(client)).dial(TARGET, address)
            await end_of(stream)
            raise StreamClosedError


async def why_not(authority: Authority, address: str) -> str:
    with pytest.raises(StreamClosedError, match=f"{TARGET} cannot be reached at {address}") as why:
        await GrpcDialler(authority.holder(Role.HOST, SOURCE)).dial(TARGET, address)
    return str(why.value)


async def test_the_dialler_accepts_no_other_host_at_the_address(authority: Authority) -> None:
    async with replication_listener(authority.holder(Role.HOST, "someone-else")) as address:
        assert "Hostname Verification Check failed" in await why_not(authority, address)


async def test_the_dialler_tells_why_it_cannot_connect(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    expired = authority.issue(Role.HOST, TARGET, valid_for=timedelta(hours=-1))
    async with replication_listener(CredentialsHolder(expired)) as address:
        assert "certificate has expired" in await why_not(authority, address)
    async with replication_listener(make_authority().holder(Role.HOST, TARGET)) as address:
        assert "certificate" in await why_not(authority, address)
    assert "Connection refused" in await why_not(authority, address)
    monkeypatch.setattr(limits, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert "it does not answer" in await why_not(authority, address)


@pytest.mark.parametrize("listed", [by_serial, by_name])
async def test_who_is_denied_is_not_let_in(
    authority: Authority, listed: Callable[[int], DenyList]
) -> None:
    client, denials = authority.issue(Role.HOST, SOURCE), Denials()
    denials.update(listed(client.caller.serial))
    async with replication_listener(
        authority.holder(Role.HOST, TARGET), denials=denials
    ) as address:
        assert "certificate-denied: the vault has denied" in await end_of(
            await dial(client, address)
        )


@pytest.mark.parametrize("listed", [by_serial, by_name])
async def test_a_denial_ends_live_conversations_of_the_denied_host_and_no_others(
    authority: Authority, listed: Callable[[int], DenyList]
) -> None:
    client, denials = authority.issue(Role.HOST, SOURCE), Denials()
    async with replication_listener(
        authority.holder(Role.HOST, TARGET), denials=denials
    ) as address:
        denied = [await dial(client, address) for _ in range(2)]
        other = await dial(authority.issue(Role.HOST, "another-host"), address)
        for stream in (*denied, other):
            await stream.send(b"1")
            await stream.receive()
        denials.update(listed(client.caller.serial))
        for stream in denied:
            assert "certificate-denied: the vault has denied" in await end_of(stream)
        await other.send(b"2")
        assert await other.receive() == b"another-host:2"
        await other.close()


async def test_the_peer_is_cut_off_before_what_served_it_has_ended(authority: Authority) -> None:
    client, denials = authority.issue(Role.HOST, SOURCE), Denials()
    told, ended = asyncio.Event(), asyncio.Event()

    async def stubborn(stream: MessageStream) -> None:
        try:
            await echo(stream)
        finally:
            # As a write to a slow disk, which no cancellation ends.
            disk = asyncio.ensure_future(told.wait())
            while not disk.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.shield(disk)
            ended.set()

    async with replication_listener(
        authority.holder(Role.HOST, TARGET), stubborn, denials
    ) as address:
        stream = await dial(client, address)
        await stream.send(b"1")
        await stream.receive()
        denials.update(by_name(0))
        assert "certificate-denied" in await end_of(stream)
        assert not ended.is_set()
        told.set()
        async with asyncio.timeout(SECONDS):
            await ended.wait()


async def test_a_conversation_ends_with_the_certificate_and_cannot_be_resumed(
    authority: Authority,
) -> None:
    brief = authority.issue(Role.HOST, SOURCE, valid_for=timedelta(seconds=3))
    # TLS lets who has a ticket come back without a look at the certificate.
    cache = ("grpc.ssl_session_cache", ssl_session_cache_lru(4))  # type: ignore[no-untyped-call]
    async with replication_listener(authority.holder(Role.HOST, TARGET)) as address:
        stream = await dial(brief, address, cache)
        await stream.send(b"1")
        await stream.receive()
        assert f"certificate-expired: the certificate {brief.caller.certificate_id}" in (
            await end_of(stream)
        )
        again = await dial(brief, address, cache)
        assert "certificate-expired" in await end_of(again)


async def test_a_cancelled_caller_ends_what_served_it(authority: Authority) -> None:
    seen = asyncio.Queue[BaseException]()

    async def serve(stream: MessageStream) -> None:
        try:
            await echo(stream)
            await asyncio.Event().wait()
        except BaseException as error:
            seen.put_nowait(error)
            raise

    async with replication_listener(authority.holder(Role.HOST, TARGET), serve) as address:
        stream = await dial(authority.issue(Role.HOST, SOURCE), address)
        await stream.send(b"1")
        await stream.receive()
        await stream.close()
        async with asyncio.timeout(SECONDS):
            assert isinstance(await seen.get(), asyncio.CancelledError)


async def test_what_serves_ends_the_conversation_by_returning(authority: Authority) -> None:
    async def once(stream: MessageStream) -> None:
        await stream.send(await stream.receive())

    async with replication_listener(authority.holder(Role.HOST, TARGET), once) as address:
        stream = await dial(authority.issue(Role.HOST, SOURCE), address)
        await stream.send(b"1")
        assert await stream.receive() == b"1"
        assert "ended the conversation" in await end_of(stream)


async def test_a_conversation_is_not_aged_out(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    ages = (("grpc.max_connection_age_ms", 300), ("grpc.max_connection_age_grace_ms", 100))
    monkeypatch.setattr(limits, "_AGE", ages)
    target = authority.holder(Role.HOST, TARGET)
    aging = replace(limits.REPLICATION_LIMITS, ends_old_connections=True)
    async with (
        replication_listener(target) as lasting,
        replication_listener(target, limits=aging) as short,
    ):
        stays, ends = [
            await dial(authority.issue(Role.HOST, SOURCE), address) for address in (lasting, short)
        ]
        # Opened later and ended by its age: what was opened before it is older.
        assert "max" in await end_of(ends)
        await stays.send(b"still")
        assert await stays.receive() == SOURCE.encode() + b":still"
        await stays.close()
