"""The session's stream over real channels."""

import pytest

from agent.control.stream import GrpcRenewal, GrpcSessionDialler
from replikera.identity import (
    Credentials,
    CredentialsHolder,
    generate_private_key,
    signing_request,
)
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import session_pb2, types_pb2
from tests.integration.coordinator.running_vault import FakeHost, RunningVault
from tests.support.authority import make_authority

HELLO = session_pb2.SessionRequest(
    hello=session_pb2.Hello(facts=types_pb2.HostFacts(name="a-host", hypervisor="simulated"))
)


@pytest.fixture
async def host(vault: RunningVault) -> FakeHost:
    return await vault.add_host("a-host", "a")


async def greeted(address: str, credentials: Credentials) -> session_pb2.SessionResponse:
    stream = GrpcSessionDialler(address, CredentialsHolder(credentials)).dial()
    try:
        await stream.send(HELLO)
        return await stream.receive()
    finally:
        await stream.close()


def dialler(vault: RunningVault, host: FakeHost) -> GrpcSessionDialler:
    holder = CredentialsHolder(host.credentials)
    return GrpcSessionDialler(f"127.0.0.1:{vault.ports.session}", holder)


async def test_own_vault_welcomes(vault: RunningVault, host: FakeHost) -> None:
    answer = await greeted(f"127.0.0.1:{vault.ports.session}", host.credentials)
    assert answer.welcome.host_id == host.id


async def test_heartbeat_is_answered_and_a_closed_stream_says_so(
    vault: RunningVault, host: FakeHost
) -> None:
    stream = dialler(vault, host).dial()
    await stream.send(HELLO)
    await stream.receive()
    await stream.send(session_pb2.SessionRequest(heartbeat=session_pb2.Heartbeat(number=7)))
    assert (await stream.receive()).heartbeat.number == 7
    await stream.close()
    await stream.close()
    with pytest.raises(StreamClosedError):
        await stream.send(HELLO)


async def test_unreachable_vault_ends_the_stream(host: FakeHost) -> None:
    with pytest.raises(StreamClosedError, match="the vault is not available"):
        await greeted("127.0.0.1:1", host.credentials)


async def test_another_vault_at_the_address_is_not_spoken_to(
    vault: RunningVault, host: FakeHost
) -> None:
    strangers = make_authority().root_pem
    own = host.credentials
    doubting = Credentials(own.certificate_chain, own.private_key, strangers)
    with pytest.raises(StreamClosedError, match="the vault is not available"):
        await greeted(f"127.0.0.1:{vault.ports.session}", doubting)


async def test_refusal_is_told_in_the_vaults_words(vault: RunningVault, host: FakeHost) -> None:
    stream = dialler(vault, host).dial()
    try:
        await stream.send(session_pb2.SessionRequest(heartbeat=session_pb2.Heartbeat()))
        with pytest.raises(StreamClosedError, match="did not begin with Hello"):
            await stream.receive()
    finally:
        await stream.close()


async def test_certificate_is_renewed_for_the_key_that_asks(
    vault: RunningVault, host: FakeHost
) -> None:
    key = generate_private_key()
    renewal = GrpcRenewal(f"127.0.0.1:{vault.ports.session}")
    chain = await renewal.request(signing_request(key), host.credentials)
    assert await renewal.request(signing_request(key), host.credentials) == chain
    renewed = Credentials(chain, key, host.credentials.root_certificate)
    assert renewed.caller.name == host.id
    assert renewed.caller.serial != host.credentials.caller.serial
    answer = await greeted(f"127.0.0.1:{vault.ports.session}", renewed)
    assert answer.welcome.host_id == host.id


async def test_renewal_that_nobody_answers_says_so(host: FakeHost) -> None:
    with pytest.raises(StreamClosedError, match="the vault is not available"):
        await GrpcRenewal("127.0.0.1:1").request(b"", host.credentials)


async def test_refused_renewal_is_told_in_the_vaults_words(
    vault: RunningVault, host: FakeHost
) -> None:
    with pytest.raises(StreamClosedError, match="the vault"):
        await GrpcRenewal(f"127.0.0.1:{vault.ports.session}").request(b"", host.credentials)
