"""Peers that are not who they should be, or send what they should not: every kind of listener refuses them."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc.aio
import pytest

from coordinator.authority.authority import create_authority
from replikera.channel import (
    ENROLMENT_MESSAGE_BYTES,
    REPLICATION_MESSAGE_BYTES,
    REPLICATION_METHOD,
    fetch_trust_root,
)
from replikera.identity import Credentials, CredentialsHolder, Role, dns_name
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.tls import client_tls
from tests.integration.channel.listeners import (
    SECONDS,
    SMALL,
    SOURCE,
    TARGET,
    UNARY,
    careless,
    connected,
    drop,
    enrolment_listener,
    replication_listener,
    serial_listener,
)
from tests.support.authority import VAULT_ID, Authority, make_authority

Listener = Callable[[CredentialsHolder], AbstractAsyncContextManager[str]]
GET_ROOT = "/replikera.wire.v1.EnrolmentService/GetTrustRoot"
MUTUAL: list[Listener] = [replication_listener, serial_listener]
ALL: list[Listener] = [*MUTUAL, enrolment_listener]
METHODS = {
    replication_listener: REPLICATION_METHOD,
    serial_listener: UNARY,
    enrolment_listener: GET_ROOT,
}
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""The preface of HTTP/2 with empty settings."""


@pytest.fixture
def target(authority: Authority) -> CredentialsHolder:
    return authority.holder(Role.HOST, TARGET)


async def answered(address: str, context: ssl.SSLContext | None) -> bytes:
    """Return the first bytes that a listener says to a greeting, empty where it says none."""
    try:
        reader, writer = await connected(address, context)
    except (ssl.SSLError, ConnectionError):
        return b""
    try:
        writer.write(GREETING)
        return await reader.read(9)
    except (ssl.SSLError, ConnectionError):
        return b""
    finally:
        drop(writer)


async def refusal(
    listener: Listener,
    address: str,
    credentials: Credentials,
    request: bytes,
    *,
    metadata: Sequence[tuple[str, str]] = (),
    compression: grpc.Compression = grpc.Compression.NoCompression,
) -> grpc.StatusCode:
    """Return how a listener ends the call of a peer that has no limits of its own."""
    secure = grpc.ssl_channel_credentials(
        credentials.root_certificate, credentials.private_key, credentials.certificate_chain
    )
    options = [("grpc.ssl_target_name_override", dns_name(Role.HOST, TARGET, VAULT_ID))]
    async with grpc.aio.secure_channel(address, secure, options=options) as channel:
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            METHODS[listener]
        )
        call = method(timeout=SECONDS, metadata=tuple(metadata), compression=compression)
        # Where the call has ended already, its status says why.
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(request)
            await call.read()
        return await call.code()


@pytest.mark.parametrize("listener", ALL)
async def test_tls_1_2_is_refused(
    listener: Listener, authority: Authority, target: CredentialsHolder
) -> None:
    context = careless(authority.issue(Role.HOST, SOURCE))
    async with listener(target) as address:
        assert await answered(address, context)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        assert not await answered(address, context)


@pytest.mark.parametrize("listener", ALL)
async def test_plain_text_is_refused(listener: Listener, target: CredentialsHolder) -> None:
    async with listener(target) as address:
        assert not await answered(address, None)


@pytest.mark.parametrize("listener", MUTUAL)
async def test_who_has_no_certificate_of_the_vault_is_refused(
    listener: Listener, authority: Authority, target: CredentialsHolder
) -> None:
    stranger = make_authority().issue(Role.HOST, SOURCE)
    expired = authority.issue(Role.HOST, SOURCE, valid_for=timedelta(hours=-1))
    async with listener(target) as address:
        assert await answered(address, careless(authority.issue(Role.HOST, SOURCE)))
        for credentials in (None, stranger, expired):
            assert not await answered(address, careless(credentials))


async def test_a_certificate_serves_only_what_it_was_issued_for(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    vault = create_authority(
        SystemFiles(),
        tmp_path,
        VAULT_ID,
        passphrase=b"secret",
        randomness=SystemRandomness(),
        now=now,
    )
    host = vault.issue_credentials(Role.HOST, TARGET, now)
    async with serial_listener(CredentialsHolder(host)) as address:
        for role, is_let_in in (
            (Role.HOST, True),
            (Role.OPERATOR, True),
            (Role.VAULT, False),
            (Role.SIGNER, False),
        ):
            context = careless(vault.issue_credentials(role, "x", now))
            assert bool(await answered(address, context)) == is_let_in, role


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.SIGNER])
async def test_nobody_is_served_by_who_may_not_serve(tmp_path: Path, role: Role) -> None:
    now = datetime.now(UTC)
    vault = create_authority(
        SystemFiles(),
        tmp_path,
        VAULT_ID,
        passphrase=b"secret",
        randomness=SystemRandomness(),
        now=now,
    )
    holder = CredentialsHolder(vault.issue_credentials(role, "x", now))
    context = client_tls(vault.issue_credentials(Role.HOST, SOURCE, now))
    context.set_alpn_protocols(["h2"])
    async with serial_listener(holder) as address:
        port = int(address.split(":")[1])
        with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
            await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname=dns_name(role, "x", VAULT_ID)
            )


@pytest.mark.parametrize(
    ("listener", "limit"),
    [
        (replication_listener, REPLICATION_MESSAGE_BYTES),
        (serial_listener, SMALL.message_bytes),
        (enrolment_listener, ENROLMENT_MESSAGE_BYTES),
    ],
)
async def test_a_message_above_the_limit_is_refused(
    listener: Listener, limit: int, authority: Authority, target: CredentialsHolder
) -> None:
    peer = authority.issue(Role.HOST, SOURCE)
    async with listener(target) as address:
        code = await refusal(listener, address, peer, bytes(limit + 1))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("listener", ALL)
@pytest.mark.parametrize("metadata", [[("k", "v" * 9_000)], [(f"k{at}", "v") for at in range(900)]])
async def test_metadata_above_the_limit_is_refused(
    listener: Listener,
    metadata: list[tuple[str, str]],
    authority: Authority,
    target: CredentialsHolder,
) -> None:
    peer = authority.issue(Role.HOST, SOURCE)
    async with listener(target) as address:
        code = await refusal(listener, address, peer, b"", metadata=metadata)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("listener", ALL)
async def test_a_message_that_grpc_would_inflate_is_refused(
    listener: Listener, authority: Authority, target: CredentialsHolder
) -> None:
    peer = authority.issue(Role.HOST, SOURCE)
    async with listener(target) as address:
        code = await refusal(
            listener, address, peer, bytes(1 << 20), compression=grpc.Compression.Gzip
        )
    # The second where the call ends while the message is still being written.
    assert code in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL}


async def test_a_deeply_nested_message_ends_its_own_call_only(
    authority: Authority, target: CredentialsHolder
) -> None:
    nested = b"\x1b" * 4000 + b"\x1c" * 4000
    peer = authority.issue(Role.HOST, SOURCE)
    async with enrolment_listener(target) as address:
        code = await refusal(enrolment_listener, address, peer, nested)
        assert code is not grpc.StatusCode.OK
        found = await fetch_trust_root(address)
        assert found.root_certificate == authority.root_pem
