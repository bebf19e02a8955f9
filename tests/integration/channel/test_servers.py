"""Listeners: their addresses, and certificates that change while they serve."""

import asyncio
import ssl

import pytest

from replikera.channel import (
    REPLICATION_LIMITS,
    GrpcDialler,
    fetch_trust_root,
    mutual_tls_server,
)
from replikera.identity import Credentials, CredentialsHolder, Role, caller_from_certificate
from tests.integration.channel.listeners import (
    SECONDS,
    SOURCE,
    TARGET,
    ask,
    careless,
    connected,
    dial,
    drop,
    enrolment_listener,
    replication_listener,
    serial_listener,
)
from tests.support.authority import Authority

ROTATIONS = 20


async def shown(address: str, client: Credentials | None) -> str:
    """Return the serial of the certificate that a new connection is shown."""
    _, writer = await connected(address, careless(client))
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    drop(writer)
    return caller_from_certificate(ssl.DER_cert_to_PEM_cert(der).encode()).certificate_id


async def test_an_address_in_use_is_an_error_that_names_it(authority: Authority) -> None:
    holder = authority.holder(Role.HOST, TARGET)
    async with replication_listener(holder) as address:
        with pytest.raises(OSError, match=f"cannot listen on {address}"):
            mutual_tls_server(address, holder, lambda _: None, REPLICATION_LIMITS)


async def test_new_connections_are_shown_the_newest_certificate(authority: Authority) -> None:
    client = authority.issue(Role.HOST, SOURCE)
    vault, host = authority.holder(Role.VAULT, "v"), authority.holder(Role.HOST, TARGET)
    async with enrolment_listener(vault) as enrolment, replication_listener(host) as replication:
        for _ in range(3):
            assert await shown(enrolment, None) == vault.current.caller.certificate_id
            assert await shown(replication, client) == host.current.caller.certificate_id
            vault.replace(authority.issue(Role.VAULT, "v"))
            host.replace(authority.issue(Role.HOST, TARGET))
        found = await fetch_trust_root(enrolment)
        assert found.root_certificate == authority.root_pem


async def test_a_change_of_certificates_loses_nothing_of_a_live_conversation(
    authority: Authority,
) -> None:
    client = authority.issue(Role.HOST, SOURCE)
    holder = authority.holder(Role.HOST, TARGET)
    async with replication_listener(holder) as address:
        stream = await dial(client, address)
        for number in range(ROTATIONS):
            message = b"%d" % number * 10_000
            await stream.send(message)
            holder.replace(authority.issue(Role.HOST, TARGET))
            assert await shown(address, client) == holder.current.caller.certificate_id
            async with asyncio.timeout(SECONDS):
                assert await stream.receive() == SOURCE.encode() + b":" + message
        await stream.close()


async def test_the_dialler_presents_the_newest_certificate(authority: Authority) -> None:
    holder = authority.holder(Role.HOST, SOURCE)
    dialler = GrpcDialler(holder)
    async with replication_listener(authority.holder(Role.HOST, TARGET)) as address:
        before = await dialler.dial(TARGET, address)
        holder.replace(authority.issue(Role.HOST, "newer"))
        after = await dialler.dial(TARGET, address)
        for stream, name in ((before, SOURCE), (after, "newer")):
            await stream.send(b"?")
            assert await stream.receive() == name.encode() + b":?"
            await stream.close()


async def test_an_unused_listener_that_changes_often_keeps_only_the_newest(
    authority: Authority,
) -> None:
    holder = authority.holder(Role.HOST, TARGET)
    async with serial_listener(holder) as address:
        for _ in range(ROTATIONS):
            holder.replace(authority.issue(Role.HOST, TARGET))
        assert await shown(address, authority.issue(Role.HOST, SOURCE)) == (
            holder.current.caller.certificate_id
        )


async def test_a_listener_begins_with_what_the_holder_has(authority: Authority) -> None:
    holder = CredentialsHolder(authority.issue(Role.HOST, "before"))
    holder.replace(authority.issue(Role.HOST, TARGET))
    async with serial_listener(holder) as address:
        assert await ask(authority.issue(Role.HOST, SOURCE), address)
