"""The whole agent, in this process, against a vault that is only its session listener."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent.config import load_agent_settings
from agent.control.membership import Membership, MembershipFolder
from agent.control.run import begin_run
from agent.daemon import Agent, Identity
from agent.machinery import real_machinery
from replikera.channel import GrpcDialler
from replikera.identity import Credentials, CredentialsHolder, Role, dns_name, uri_name
from replikera.ports.streams import StreamClosedError
from replikera.system.files import SystemFiles
from replikera.system.loopback import free_ports
from replikera.system.randomness import SystemRandomness
from replikera.wire.v1 import orders_pb2, session_pb2, trust_pb2
from replikera.wire.v1 import replication_pb2 as wire
from tests.integration.agent.session_listener import HOST, SECONDS, SessionListener, listening
from tests.support.authority import VAULT_ID, Authority, key_pem, make_authority, pem
from tests.support.grants import GrantOffice, terms

ORDER = "aaaaaaaa-0000-4000-8000-000000000001"
PEER = "peer-host"


class AgentInProcess:
    """One host's folder, and its agent. `age` is how much of its certificate's week has passed."""

    def __init__(self, folder: Path, authority: Authority, age: timedelta) -> None:
        self.authority = authority
        self.state = folder / "state"
        self.folder = MembershipFolder(SystemFiles(), self.state / "identity")
        (self.port,) = free_ports(1, SystemRandomness())
        self.settings = folder / "agent.toml"
        self.settings.write_text(
            f'[agent]\nname = "a-host"\nstate_directory = "{self.state}"\n'
            f'[replication]\nlisten = "127.0.0.1:{self.port}"\naddress = "127.0.0.1:{self.port}"\n'
            f'[hypervisor]\nkind = "simulated"\n'
            f'[hypervisor.simulated]\nroot = "{folder / "simulated"}"\n'
        )
        self.first = self._credentials(datetime.now(UTC) - age)

    def join(self, vault: SessionListener) -> None:
        address = f"127.0.0.1:{vault.port}"
        self.folder.adopt("join-1", Membership(VAULT_ID, "home", HOST, address, "a"), self.first)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stopping = asyncio.Event()
        with real_machinery() as machinery:
            settings = load_agent_settings(machinery.files, self.settings)
            membership, credentials = self.folder.load()
            run = begin_run(machinery.files, self.folder.path / "starts.json", machinery.randomness)
            identity = Identity(self.folder, membership, credentials, run)
            agent = Agent(settings, identity, machinery)
            async with asyncio.TaskGroup() as group:
                group.create_task(agent.run(stopping))
                try:
                    yield
                finally:
                    stopping.set()

    async def refusal(self, peer: Credentials) -> str:
        """Return why the replication listener does not let the peer in; empty where it only wants a grant."""
        while (told := await self._asked(peer)).endswith("Internal error from Core"):
            pass  # the call ended while it was written to, and what gRPC heard of the reason is lost
        return told

    async def _asked(self, peer: Credentials) -> str:
        stream = None
        try:
            stream = await GrpcDialler(CredentialsHolder(peer)).dial(HOST, f"127.0.0.1:{self.port}")
            opening = wire.OpenReplica(protection_id=ORDER)
            await stream.send(wire.ReplicateRequest(open=opening).SerializeToString())
            answer = wire.ReplicateResponse.FromString(await stream.receive())
            assert answer.refused.failure.code == "unknown-protection"
        except StreamClosedError as error:
            return str(error)
        else:
            return ""
        finally:
            if stream is not None:
                await stream.close()

    def _credentials(self, since: datetime) -> Credentials:
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self.authority.leaf(
            key.public_key(),
            [uri_name(Role.HOST, HOST, VAULT_ID)],
            dns=dns_name(Role.HOST, HOST, VAULT_ID),
            validity=(since, since + timedelta(days=7)),
        )
        return Credentials(pem(leaf), key_pem(key), self.authority.root_pem)


@pytest.fixture
def authority() -> Authority:
    return make_authority()


@pytest.fixture
async def vault(authority: Authority) -> AsyncIterator[SessionListener]:
    async with listening(authority) as started:
        yield started


@pytest.fixture
def young(tmp_path: Path, authority: Authority, vault: SessionListener) -> AgentInProcess:
    host = AgentInProcess(tmp_path, authority, timedelta(hours=1))
    host.join(vault)
    return host


@pytest.fixture
def old(tmp_path: Path, authority: Authority, vault: SessionListener) -> AgentInProcess:
    host = AgentInProcess(tmp_path, authority, timedelta(days=5))
    host.join(vault)
    return host


async def test_hello_tells_run_and_state(vault: SessionListener, young: AgentInProcess) -> None:
    async with young.running():
        first = await vault.until(1)
        await vault.received("heartbeat")
    assert first.hello.start_count == 1
    async with young.running():
        second = await vault.until(2)
    assert (second.hello.start_count, second.hello.control_version) == (2, 1)
    assert second.hello.control_digest == bytes(32)
    assert second.hello.run_id != first.hello.run_id
    assert vault.renewals == 0


async def test_renewed_certificate_is_presented_everywhere_without_a_gap(
    vault: SessionListener, old: AgentInProcess
) -> None:
    peer = old.authority.issue(Role.HOST, PEER)
    async with old.running():
        first = await vault.until(1)
        newest = await vault.until(2) if first.serial == old.first.caller.serial else first
        _, kept = old.folder.load()
        assert kept.caller.serial != old.first.caller.serial
        assert newest.serial == kept.caller.serial
        assert newest.hello.run_id == first.hello.run_id
        assert vault.renewals == 1
        assert len(vault.sessions) == vault.overlaps + 1
        assert await old.refusal(peer) == ""
        assert await served_serial(old.port) == kept.caller.serial


async def served_serial(port: int) -> int:
    """Return the serial of the certificate that a listener shows."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with asyncio.timeout(SECONDS):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return x509.load_der_x509_certificate(der).serial_number


async def test_refused_renewal_leaves_everything_as_it_is(
    vault: SessionListener, old: AgentInProcess
) -> None:
    vault.is_refusing_renewals = True
    async with old.running():
        session = await vault.until(1)
        async with asyncio.timeout(SECONDS):
            while not vault.renewals:
                vault.changed.clear()
                await vault.changed.wait()
        assert session.serial == old.first.caller.serial
        await vault.received("heartbeat")
    assert old.folder.load()[1] == old.first


async def test_deny_list_is_obeyed_at_once_and_after_a_restart(
    vault: SessionListener, young: AgentInProcess
) -> None:
    office = GrantOffice(terms("p", "g", "s", "t"), young.authority)
    signed = trust_pb2.Signed.FromString(office.deny_list(3, PEER))
    peer = young.authority.issue(Role.HOST, PEER)
    other = young.authority.issue(Role.HOST, "other-host")
    async with young.running():
        session = await vault.until(1)
        assert await young.refusal(peer) == ""
        session.orders.put_nowait(session_pb2.SessionResponse(deny_list=signed))
        stored = await vault.received("deny_list_stored")
        assert stored.deny_list_stored.version == 3
        assert "has denied" in await young.refusal(peer)
        assert await young.refusal(other) == ""
        question = session_pb2.SendDenyList()
        session.orders.put_nowait(session_pb2.SessionResponse(send_deny_list=question))
        assert (await vault.received("deny_list")).deny_list == signed
    async with young.running():
        session = await vault.until(2)
        assert session.hello.deny_list_version == 3
        assert "has denied" in await young.refusal(peer)


async def test_withdrawn_order_that_comes_after_all_is_answered_and_not_begun(
    vault: SessionListener, young: AgentInProcess
) -> None:
    order = orders_pb2.Order(
        order_id=ORDER,
        control_version=1,
        control_digest=bytes(32),
        clean_up_rehearsal=orders_pb2.CleanUpRehearsal(rehearsal_id=ORDER),
    )
    async with young.running():
        session = await vault.until(1)
        withdrawal = session_pb2.WithdrawOrder(order_id=ORDER)
        session.orders.put_nowait(session_pb2.SessionResponse(withdraw=withdrawal))
        outcome = (await vault.received("outcome")).outcome
        assert outcome.WhichOneof("result") == "withdrawn"
        accepted = session_pb2.OutcomeAccepted(order_id=ORDER)
        session.orders.put_nowait(session_pb2.SessionResponse(outcome_accepted=accepted))
        session.received.clear()
        session.orders.put_nowait(session_pb2.SessionResponse(order=order))
        assert (await vault.received("outcome")).outcome == outcome
