"""Real mutual TLS on loopback: who is let in, who is not."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from typing_extensions import override

from replikera.channel import (
    REPLICATION_LIMITS,
    GrpcDialler,
    enrolment_server,
    fetch_trust_root,
    mutual_tls_server,
    replication_service,
)
from replikera.identity import Credentials, Role, root_fingerprint
from replikera.ports.streams import MessageStream, StreamClosedError
from replikera.tls import client_tls
from replikera.wire.v1 import enrolment_pb2, enrolment_pb2_grpc
from tests.support.authority import Authority, make_authority

TARGET = "aaaaaaaa-0000-4000-8000-000000000001"
SOURCE = "aaaaaaaa-0000-4000-8000-000000000002"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority()


async def echo_peer(stream: MessageStream) -> None:
    while True:
        message = await stream.receive()
        await stream.send(stream.peer.encode() + b":" + message)


@asynccontextmanager
async def replication_listener(credentials: Credentials) -> AsyncIterator[str]:
    async def serve(stream: MessageStream) -> None:
        try:
            await echo_peer(stream)
        except StreamClosedError:
            return

    server = mutual_tls_server(
        "127.0.0.1:0",
        credentials,
        lambda target: target.add_generic_rpc_handlers((replication_service(serve),)),
        REPLICATION_LIMITS,
    )
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop(0)


async def test_messages_pass_both_ways_and_the_peer_is_the_certificates_host(
    authority: Authority,
) -> None:
    async with replication_listener(authority.issue(Role.HOST, TARGET)) as address:
        stream = await GrpcDialler(authority.issue(Role.HOST, SOURCE)).dial(TARGET, address)
        await stream.send(b"a" * (2 << 20))
        assert await stream.receive() == SOURCE.encode() + b":" + b"a" * (2 << 20)
        await stream.close()


async def test_an_operator_cannot_replicate(authority: Authority) -> None:
    async with replication_listener(authority.issue(Role.HOST, TARGET)) as address:
        stream = await GrpcDialler(authority.issue(Role.OPERATOR, "ann")).dial(TARGET, address)
        with pytest.raises(StreamClosedError, match="only hosts replicate"):
            await stream.receive()
        await stream.close()


async def test_a_certificate_with_two_uri_names_is_refused(authority: Authority) -> None:
    two = authority.issue(Role.HOST, SOURCE, uris=["spiffe://v/host/a", "spiffe://v/host/b"])
    good = authority.issue(Role.HOST, SOURCE)
    async with replication_listener(authority.issue(Role.HOST, TARGET)) as address:
        dialler = GrpcDialler(good)
        dialler._credentials = two
        stream = await dialler.dial(TARGET, address)
        with pytest.raises(StreamClosedError, match="names no identity"):
            await stream.receive()
        await stream.close()


@pytest.mark.parametrize("kind", ["foreign", "expired"])
async def test_a_host_of_another_vault_or_with_an_expired_certificate_is_refused(
    authority: Authority, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replikera.channel._CONNECT_SECONDS", 1.0)
    if kind == "foreign":
        issued = make_authority().issue(Role.HOST, SOURCE)
        client = Credentials(issued.certificate_chain, issued.private_key, authority.root_pem)
    else:
        client = authority.issue(Role.HOST, SOURCE, valid_for=timedelta(hours=-1))
    async with replication_listener(authority.issue(Role.HOST, TARGET)) as address:
        with pytest.raises(StreamClosedError):
            stream = await GrpcDialler(client).dial(TARGET, address)
            try:
                await stream.receive()
            finally:
                await stream.close()


async def test_the_dialler_accepts_no_other_host_at_the_address(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replikera.channel._CONNECT_SECONDS", 1.0)
    async with replication_listener(authority.issue(Role.HOST, "someone-else")) as address:
        with pytest.raises(StreamClosedError, match="another host answers"):
            await GrpcDialler(authority.issue(Role.HOST, SOURCE)).dial(TARGET, address)


async def test_the_trust_root_is_told_to_a_caller_without_any_trust(authority: Authority) -> None:
    class Enrolment(enrolment_pb2_grpc.EnrolmentServiceServicer):
        @override
        async def Enrol(
            self, request: enrolment_pb2.EnrolRequest, context: object
        ) -> enrolment_pb2.EnrolResponse:
            raise AssertionError("nobody enrols here")

        @override
        async def GetTrustRoot(
            self, request: enrolment_pb2.GetTrustRootRequest, context: object
        ) -> enrolment_pb2.GetTrustRootResponse:
            return enrolment_pb2.GetTrustRootResponse(root_certificate=authority.root_pem)

    server = enrolment_server(
        "127.0.0.1:0",
        authority.issue(Role.VAULT, "v"),
        lambda target: enrolment_pb2_grpc.add_EnrolmentServiceServicer_to_server(
            Enrolment(), target
        ),
    )
    await server.start()
    try:
        found = await fetch_trust_root(f"127.0.0.1:{server.port}")
    finally:
        await server.stop(0)
    assert root_fingerprint(found.root_certificate) == root_fingerprint(authority.root_pem)
    assert found.peer_name.startswith("v.vault.")


async def test_an_address_where_nothing_listens_is_a_connection_error() -> None:
    with pytest.raises(ConnectionError, match="no enrolment listener answers at 127.0.0.1:1"):
        await fetch_trust_root("127.0.0.1:1")


async def test_tls_1_2_is_refused_by_the_replication_listener(authority: Authority) -> None:
    async with replication_listener(authority.issue(Role.HOST, TARGET)) as address:
        context = client_tls(authority.issue(Role.HOST, SOURCE))
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        host, port = address.split(":")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(host, int(port), ssl=context)


async def test_an_address_in_use_is_an_error_that_names_it(authority: Authority) -> None:
    async with replication_listener(authority.issue(Role.HOST, TARGET)) as address:
        with pytest.raises(OSError, match=address):
            mutual_tls_server(
                address, authority.issue(Role.HOST, TARGET), lambda _: None, REPLICATION_LIMITS
            )
