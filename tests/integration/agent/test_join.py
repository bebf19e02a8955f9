"""Joining: the agent's side against a real vault, and against what only looks like one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from typing_extensions import override

from agent.control.join import JoinError, join
from agent.control.membership import Membership, MembershipFolder
from replikera.channel import RpcContext, enrolment_server
from replikera.enrolment import JoinLine, parse_join_line
from replikera.identity import Role, root_fingerprint
from replikera.system.files import SystemFiles
from replikera.system.workers import ThreadWorker
from replikera.wire.v1 import enrolment_pb2, enrolment_pb2_grpc
from tests.integration.coordinator.running_vault import RunningVault
from tests.support.authority import VAULT_ID, Authority, make_authority

SECRET = "s" * 43


class Host:
    """One host that wants to join."""

    def __init__(self, path: Path, worker: ThreadWorker) -> None:
        self.folder = MembershipFolder(SystemFiles(), path / "identity")
        self._worker = worker

    async def join(self, line: JoinLine) -> Membership:
        return await join(line, self.folder, self._worker, host_name="a-host", cloud="gold")

    async def refusal(self, line: JoinLine) -> str:
        with pytest.raises(JoinError) as caught:
            await self.join(line)
        assert not self.folder.is_complete()
        return str(caught.value)


@pytest.fixture
def host(tmp_path: Path, worker: ThreadWorker) -> Host:
    return Host(tmp_path / "host", worker)


async def line_of(vault: RunningVault, **more: Any) -> JoinLine:
    line = parse_join_line(await vault.join_line("a", **more))
    return replace(line, address=f"127.0.0.1:{vault.ports.enrolment}")


async def test_join_gives_the_host_an_identity_in_the_vault(
    vault: RunningVault, host: Host
) -> None:
    membership = await host.join(await line_of(vault))
    kept, credentials = host.folder.load()
    assert kept == membership
    assert (kept.vault_id, kept.vault_name, kept.site) == (vault.vault_id, "home", "a")
    assert kept.session_address == "vault.test:7401"
    assert credentials.caller.role is Role.HOST
    assert credentials.caller.name == kept.host_id
    (listed,) = (await vault.get("/hosts"))["items"]
    assert (listed["id"], listed["name"], listed["cloud"]) == (kept.host_id, "a-host", "gold")


async def test_host_that_has_joined_is_left_as_it_is(vault: RunningVault, host: Host) -> None:
    membership = await host.join(await line_of(vault))
    with pytest.raises(JoinError, match="has joined a vault already.*Remove that folder first"):
        await host.join(await line_of(vault))
    assert host.folder.load()[0] == membership
    assert len((await vault.get("/hosts"))["items"]) == 1


async def test_join_whose_answer_was_lost_is_repeated_with_the_same_line(
    vault: RunningVault, host: Host
) -> None:
    line = await line_of(vault)
    membership = await host.join(line)
    (host.folder.path / "vault.json").unlink()
    assert await host.join(line) == membership
    assert len((await vault.get("/hosts"))["items"]) == 1


async def test_wrong_secret_is_refused_in_the_vaults_words(vault: RunningVault, host: Host) -> None:
    line = await line_of(vault)
    refusal = await host.refusal(replace(line, secret=SECRET))
    assert refusal.startswith("the vault refused: ")
    assert SECRET not in refusal
    assert line.secret not in refusal


async def test_used_key_is_refused_for_another_host(
    vault: RunningVault, host: Host, tmp_path: Path, worker: ThreadWorker
) -> None:
    line = await line_of(vault)
    await host.join(line)
    assert "used" in await Host(tmp_path / "other", worker).refusal(line)


async def test_expired_key_is_refused(vault: RunningVault, host: Host) -> None:
    line = await line_of(vault)
    vault.clock.offset = timedelta(days=6)
    assert "expired" in await host.refusal(line)


async def test_unreachable_vault_is_named(host: Host) -> None:
    line = JoinLine("0" * 16, SECRET, "127.0.0.1:1", "0" * 64)
    assert "127.0.0.1:1 is reachable" in await host.refusal(line)


class Recorder(enrolment_pb2_grpc.EnrolmentServiceServicer):
    """An enrolment listener that answers any root and notes every secret that it is given."""

    def __init__(self, root: bytes, answer: enrolment_pb2.EnrolResponse | None) -> None:
        self._root = root
        self._answer = answer
        self.secrets: list[str] = []

    @override
    async def GetTrustRoot(
        self, request: enrolment_pb2.GetTrustRootRequest, context: RpcContext
    ) -> enrolment_pb2.GetTrustRootResponse:
        return enrolment_pb2.GetTrustRootResponse(root_certificate=self._root)

    @override
    async def Enrol(
        self, request: enrolment_pb2.EnrolRequest, context: RpcContext
    ) -> enrolment_pb2.EnrolResponse:
        self.secrets.append(request.secret)
        if self._answer is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the store is away")
        return self._answer


@asynccontextmanager
async def listener(
    authority: Authority,
    root: bytes,
    *,
    role: Role = Role.VAULT,
    name: str = VAULT_ID,
    answer: enrolment_pb2.EnrolResponse | None = None,
) -> AsyncIterator[tuple[Recorder, JoinLine]]:
    recorder = Recorder(root, answer)

    def register(server: grpc.aio.Server) -> None:
        enrolment_pb2_grpc.add_EnrolmentServiceServicer_to_server(recorder, server)

    server = enrolment_server("127.0.0.1:0", authority.issue(role, name), register)
    await server.start()
    fingerprint = root_fingerprint(authority.root_pem)
    try:
        yield recorder, JoinLine("0" * 16, SECRET, f"127.0.0.1:{server.port}", fingerprint)
    finally:
        await server.stop(0)


async def test_vault_with_another_root_is_told_nothing(host: Host) -> None:
    authority, other = make_authority(), make_authority()
    async with listener(authority, authority.root_pem) as (recorder, line):
        expected = root_fingerprint(other.root_pem)
        refusal = await host.refusal(replace(line, root_fingerprint=expected))
    assert f"expected was {expected}" in refusal
    assert recorder.secrets == []


async def test_listener_that_shows_the_right_root_without_its_key_is_told_nothing(
    host: Host,
) -> None:
    authority, impostor = make_authority(), make_authority()
    async with listener(impostor, authority.root_pem) as (recorder, line):
        fingerprint = root_fingerprint(authority.root_pem)
        refusal = await host.refusal(replace(line, root_fingerprint=fingerprint))
    assert "did not answer" in refusal
    assert recorder.secrets == []


@pytest.mark.parametrize(
    ("role", "name"), [(Role.HOST, "host-1"), (Role.OPERATOR, "ann"), (Role.VAULT, "host-1")]
)
async def test_listener_with_a_certificate_of_no_vault_is_told_nothing(
    host: Host, role: Role, name: str
) -> None:
    authority = make_authority()
    async with listener(authority, authority.root_pem, role=role, name=name) as (recorder, line):
        refusal = await host.refusal(line)
    assert "is not a vault" in refusal
    assert recorder.secrets == []


async def test_vault_that_fails_may_be_asked_again_with_the_same_key(host: Host) -> None:
    authority = make_authority()
    async with listener(authority, authority.root_pem) as (recorder, line):
        assert "Run the same command again" in await host.refusal(line)
        key = await asyncio.to_thread(host.folder.pending_key)
        await host.refusal(line)
        assert await asyncio.to_thread(host.folder.pending_key) == key
    assert recorder.secrets == [SECRET, SECRET]


async def test_certificate_that_is_not_for_this_hosts_key_is_not_kept(host: Host) -> None:
    authority = make_authority()
    other = authority.issue(Role.HOST, "host-1")
    answer = enrolment_pb2.EnrolResponse(
        host_id="host-1",
        vault_id=VAULT_ID,
        certificate_chain=other.certificate_chain,
        root_certificate=authority.root_pem,
    )
    async with listener(authority, authority.root_pem, answer=answer) as (_, line):
        assert "is not this host's" in await host.refusal(line)


async def test_something_else_that_listens_is_no_vault(host: Host) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        line = JoinLine("0" * 16, SECRET, address, "0" * 64)
        assert f"{address} is reachable" in await host.refusal(line)
