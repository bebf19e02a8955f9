"""Joining: the agent's side against a real vault, and against what only looks like one."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from agent.control.join import JoinError, join
from agent.control.membership import Membership, MembershipFolder
from replikera.enrolment import JoinLine, parse_join_line
from replikera.identity import Credentials, Role, root_fingerprint
from replikera.system.files import SystemFiles
from replikera.system.workers import ThreadWorker
from replikera.wire.v1 import enrolment_pb2
from tests.integration.agent.listeners import KEY_ID, SECRET, listener, membership_of
from tests.integration.coordinator.running_vault import RunningVault
from tests.support.authority import VAULT_ID, Authority, make_authority


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
    await host.join(await line_of(vault))
    before = host.folder.load()
    with pytest.raises(JoinError, match="the vault refused: .*host readmit"):
        await host.join(await line_of(vault))
    assert host.folder.load() == before
    assert len((await vault.get("/hosts"))["items"]) == 1


async def test_readmitted_host_stays_the_host_that_it_is(vault: RunningVault, host: Host) -> None:
    membership = await host.join(await line_of(vault))
    _, before = host.folder.load()
    invitation = await vault.post("/hosts/a-host/readmit", {"reason": "reinstalled"})
    line = replace(
        parse_join_line(invitation["join_line"]), address=f"127.0.0.1:{vault.ports.enrolment}"
    )
    assert await host.join(line) == membership
    again, after = host.folder.load()
    assert again == membership
    assert after.private_key != before.private_key
    assert await host.join(line) == membership
    assert host.folder.load() == (again, after)
    (listed,) = (await vault.get("/hosts"))["items"]
    assert listed["id"] == membership.host_id


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
        await host.refusal(line)
    assert recorder.secrets == [SECRET, SECRET]
    first, second = (request.certificate_signing_request for request in recorder.requests)
    assert public_key(first) == public_key(second)


async def test_certificate_that_is_not_for_this_hosts_key_is_not_kept(host: Host) -> None:
    authority = make_authority()
    other = authority.issue(Role.HOST, "host-1")
    answer = enrolment_pb2.EnrolResponse(
        host_id="host-1",
        vault_id=VAULT_ID,
        certificate_chain=other.certificate_chain,
        root_certificate=authority.root_pem,
    )
    async with listener(authority, authority.root_pem, answer=lambda _: answer) as (_, line):
        assert "is not this host's" in await host.refusal(line)


async def test_something_else_that_listens_is_no_vault(host: Host) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        line = JoinLine("0" * 16, SECRET, address, "0" * 64)
        assert f"{address} is reachable" in await host.refusal(line)


def public_key(signing_request: bytes) -> object:
    return x509.load_der_x509_csr(signing_request).public_key()


@pytest.fixture
def authority() -> Authority:
    return make_authority()


def joined(host: Host, authority: Authority, *, vault_id: str = VAULT_ID) -> Credentials:
    """Make the host one that joined long ago."""
    credentials = authority.issue(Role.HOST, "host-1", vault_id=vault_id)
    host.folder.adopt(
        "join-1", Membership(vault_id, "home", "host-1", "vault.test:7401", "a"), credentials
    )
    return credentials


async def test_member_shows_its_id_and_replaces_its_key(host: Host, authority: Authority) -> None:
    before = joined(host, authority)
    while_asking: list[Credentials] = []

    def answer(request: enrolment_pb2.EnrolRequest) -> enrolment_pb2.EnrolResponse:
        while_asking.append(host.folder.load()[1])
        return membership_of(authority, "host-1", request)

    async with listener(authority, authority.root_pem, answer=answer) as (recorder, line):
        membership = await host.join(line)
        assert await host.join(line) == membership
    assert while_asking[0] == before
    assert [request.existing_host_id for request in recorder.requests] == ["host-1", "host-1"]
    first, second = (request.certificate_signing_request for request in recorder.requests)
    assert public_key(first) == public_key(second)
    loaded, after = host.folder.load()
    assert loaded == membership
    assert after.private_key != before.private_key
    assert {path.name for path in host.folder.path.iterdir()} == {"vault.json", f"join-{KEY_ID}"}


async def test_member_that_has_lost_its_key_is_readmitted_too(
    host: Host, authority: Authority
) -> None:
    joined(host, authority)
    (host.folder.path / "join-1" / "key.pem").unlink()

    def answer(request: enrolment_pb2.EnrolRequest) -> enrolment_pb2.EnrolResponse:
        return membership_of(authority, "host-1", request)

    async with listener(authority, authority.root_pem, answer=answer) as (_, line):
        await host.join(line)
    assert host.folder.load()[0].host_id == "host-1"


async def test_member_that_is_refused_keeps_what_it_has(host: Host, authority: Authority) -> None:
    before = joined(host, authority)
    async with listener(authority, authority.root_pem) as (recorder, line):
        with pytest.raises(JoinError, match="the store is away"):
            await host.join(line)
    assert recorder.requests[0].existing_host_id == "host-1"
    assert host.folder.load()[1] == before


async def test_member_does_not_become_another_host(host: Host, authority: Authority) -> None:
    before = joined(host, authority)

    def answer(request: enrolment_pb2.EnrolRequest) -> enrolment_pb2.EnrolResponse:
        return membership_of(authority, "host-2", request)

    async with listener(authority, authority.root_pem, answer=answer) as (_, line):
        with pytest.raises(JoinError, match="this is host host-1, and the vault answered for"):
            await host.join(line)
    assert host.folder.load()[1] == before


async def test_member_of_another_vault_is_told_so_and_sends_nothing(
    host: Host, authority: Authority
) -> None:
    joined(host, make_authority(), vault_id="99999999-2222-4333-8444-555555555555")
    async with listener(authority, authority.root_pem) as (recorder, line):
        with pytest.raises(JoinError, match="another vault.*Remove that folder first"):
            await host.join(line)
    assert recorder.secrets == []


async def test_damaged_membership_is_named_and_nothing_is_sent(
    host: Host, authority: Authority
) -> None:
    joined(host, authority)
    (host.folder.path / "vault.json").write_text("{}")
    async with listener(authority, authority.root_pem) as (recorder, line):
        with pytest.raises(JoinError, match=r"vault\.json is damaged"):
            await host.join(line)
    assert recorder.secrets == []
