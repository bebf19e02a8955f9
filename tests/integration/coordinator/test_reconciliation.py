"""A vault that was restored from an older copy: it learns from its hosts what it has forgotten, and orders nothing."""

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from coordinator.domain.reconciliation import SKIPPED_LINES
from replikera.identity import Credentials, generate_private_key
from replikera.system.files import SystemFiles
from replikera.wire.v1 import orders_pb2, session_pb2, trust_pb2, types_pb2
from tests.integration.coordinator.backups import download, restore_elsewhere
from tests.integration.coordinator.running_vault import (
    FakeHost,
    FakeSession,
    RunningVault,
    make_vault,
    running,
)
from tests.integration.coordinator.test_the_line import MACHINE_ID, protect, two_sites

EPOCH = 6
"""Of the protection, as its target knows it from the history that was lost."""


@dataclass
class Memory:
    """What a host keeps durably of the vault."""

    host: FakeHost
    anchor: tuple[int, bytes] = (0, b"")
    deny_list: trust_pb2.Signed = field(default_factory=trust_pb2.Signed)
    held: list[session_pb2.HeldProtection] = field(default_factory=list)

    @property
    def deny_list_version(self) -> int:
        return trust_pb2.DenyList.FromString(self.deny_list.content).version

    def hello(self) -> dict[str, Any]:
        return {
            "control_version": self.anchor[0],
            "control_digest": self.anchor[1],
            "deny_list_version": self.deny_list_version,
            "protections": self.held,
        }

    def hold(self, replica: orders_pb2.AcceptReplica, peer: str, epoch: int) -> None:
        held = session_pb2.HeldProtection(
            protection_id=replica.protection_id,
            epoch=types_pb2.Epoch(number=epoch, generation=replica.epoch.generation),
            is_source=peer != replica.source_host_id,
            machine_id=MACHINE_ID,
            machine_name="web",
            peer_host_id=peer,
            grant_version=40,
        )
        self.held = [held]


@dataclass
class Past:
    """A vault of which a copy was made, and what happened after that, which only its hosts know."""

    copied_at: int
    source: Memory
    target: Memory
    revoked: FakeHost
    newcomer: FakeHost
    used_line: str
    open_job: str


async def next_of(session: FakeSession, kind: str, open_job: str = "") -> Any:
    """Return the next message of a kind; others are passed over, but never an order.

    With the job of the past that was open, hosts may be told again how they replicate, by another job.
    """
    while True:
        message = await session.receive()
        found = message.WhichOneof("message")
        if found == kind:
            return getattr(message, kind)
        assert found != "order" or (open_job and is_told_again(message.order, open_job)), message


def is_told_again(order: orders_pb2.Order, open_job: str) -> bool:
    action = order.WhichOneof("action")
    return action in {"accept_replica", "start_replication"} and order.job_id != open_job


async def head(vault: RunningVault) -> int:
    number: int = (await vault.get("/vault"))["head"]["number"]
    return number


async def go_on(vault: RunningVault, copy: Callable[[], Awaitable[object]]) -> Past:
    """Make a copy in the middle of things, and let more happen after it."""
    sites = await two_sites(vault)
    doubtful = await vault.add_host("x1", "a")
    line = await vault.join_line("b")
    source, target = Memory(sites.source), Memory(sites.target)
    async with sites.sessions() as (from_source, from_target):
        replica = await protect(vault, from_source, from_target)
        job = await vault.post("/protections/web/test-failovers", {"point": "latest"})
        order = await from_target.order()
        copied_at = await head(vault)
        await copy()
        # What follows is lost.
        await vault.post("/hosts/x1/revoke", {"reason": "stolen"})
        for session, memory in ((from_source, source), (from_target, target)):
            memory.deny_list = await next_of(session, "deny_list")
        newcomer = await joined(vault, line, "c1")
        await from_target.finish(order)
    for memory in (source, target):
        async with memory.host.session(vault, **memory.hello()) as session:
            welcome = await session.expect("welcome")
            memory.anchor = (welcome.control_version, welcome.control_digest)
    source.hold(replica, sites.target.id, 1)
    target.hold(replica, sites.source.id, EPOCH)
    return Past(copied_at, source, target, doubtful, newcomer, line, job["id"])


async def joined(vault: RunningVault, line: str, name: str) -> FakeHost:
    key = generate_private_key()
    answer = await vault.enrol(line, name, key)
    return FakeHost(
        answer.host_id,
        name,
        Credentials(answer.certificate_chain, key, answer.root_certificate),
    )


async def refusal(vault: RunningVault, host: FakeHost) -> tuple[grpc.StatusCode, str]:
    async with host.session(vault) as session:
        return await session.refusal()


async def told(vault: RunningVault, memory: Memory) -> None:
    """Have a host tell what it knows, and show its deny-list if it is asked to; it gets no order."""
    async with memory.host.session(vault, **memory.hello()) as session:
        await session.expect("welcome")
        await session.send(heartbeat=session_pb2.Heartbeat(number=1))
        while (kind := (await session.receive()).WhichOneof("message")) != "heartbeat":
            assert kind != "order"
            if kind == "send_deny_list":
                await session.send(deny_list=memory.deny_list)
        await session.settled()


async def check_reconciled(vault: RunningVault, past: Past) -> None:
    """Check that nothing of the past came back."""
    after = await vault.get("/vault")
    assert after["mode"] == "serving"
    assert after["head"]["number"] > past.target.anchor[0] + SKIPPED_LINES
    protection = await vault.get("/protections/web")
    assert protection["state"] == "protected"
    job = await vault.get(f"/jobs/{past.open_job}")
    assert (job["state"], job["cause"].split(":")[0]) == (
        "failed",
        "The vault was restored from an older copy",
    )
    hosts = {host["name"]: host for host in (await vault.call("GET", "/hosts")).items}
    assert {hosts["a1"]["state"], hosts["b1"]["state"]} <= {"connected", "disconnected"}
    assert hosts["x1"]["state"] == "quarantined"
    keys = (await vault.call("GET", "/registration-keys")).items
    assert all(key["used_at"] or key["revoked_at"] for key in keys)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await joined(vault, past.used_line, "d1")
    assert "registration-key-revoked" in (caught.value.details() or "")
    code, text = await refusal(vault, past.revoked)
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "host-quarantined" in text
    # A host of the history that was lost obeys the one that goes on, and gets nothing old.
    for memory in (past.source, past.target):
        async with memory.host.session(vault, **memory.hello()) as session:
            welcome = await session.expect("welcome")
            assert not welcome.is_reconciling
            assert welcome.control_version > memory.anchor[0]
            # It says once more what it was told last, for it may be the first time that it is heard.
            await next_of(session, "send_deny_list", past.open_job)
            await session.send(deny_list=memory.deny_list)
            newer = await next_of(session, "deny_list", past.open_job)
            version = trust_pb2.DenyList.FromString(newer.content).version
            assert version > memory.deny_list_version
            await session.send(heartbeat=session_pb2.Heartbeat(number=9))
            await next_of(session, "heartbeat", past.open_job)
    assert (await vault.get("/vault"))["mode"] == "serving"


@pytest.fixture
async def lost(vault: RunningVault, tmp_path: Path) -> tuple[Past, Path]:
    """What was lost, and the folder of another machine with the vault of the backup."""
    path = tmp_path / "backup.tar"
    past = await go_on(vault, lambda: download(vault, path))
    return past, await restore_elsewhere(vault, path)


async def test_a_restored_vault_orders_nothing_before_its_hosts_have_told(
    lost: tuple[Past, Path],
) -> None:
    past, folder = lost
    async with running(folder) as vault:
        before = await vault.get("/vault")
        assert (before["mode"], before["hosts_missing"]) == ("reconciling", ["a1", "b1"])
        async with past.target.host.session(vault, **past.target.hello()) as target:
            assert (await target.expect("welcome")).is_reconciling
            await next_of(target, "send_deny_list")
            # Without its list it has not told all, and nothing else happens to it.
            await target.settled()
            assert (await vault.get("/vault"))["hosts_missing"] == ["a1", "b1"]
            await target.send(deny_list=past.target.deny_list)
            await target.settled()
            assert (await vault.get("/vault"))["hosts_missing"] == ["a1"]
            refused = await vault.call("POST", "/sites", {"name": "elsewhere"})
            assert (refused.status, refused.body["code"]) == (409, "vault-reconciling")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await joined(vault, past.used_line, "d1")
            assert "vault-reconciling" in (caught.value.details() or "")
            await told(vault, past.source)
            await next_of(target, "drain")
        await check_reconciled(vault, past)
        (line,) = (await vault.call("GET", "/events?kind=vault-reconciled")).items
        assert "2 of 2 trusted hosts told" in line["detail"]
        (adopted,) = (await vault.call("GET", "/events?kind=epoch-adopted")).items
        assert adopted["detail"].startswith(f"epoch {EPOCH}, ")


async def test_a_host_that_was_revoked_after_the_copy_is_trusted_no_more(
    lost: tuple[Past, Path],
) -> None:
    past, folder = lost
    async with running(folder) as vault, past.revoked.session(vault) as revoked:
        # The copy knows it as a good host, until another shows what was decided since.
        assert (await revoked.expect("welcome")).is_reconciling
        await told(vault, past.source)
        code, _ = await revoked.refusal()
        assert code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_host_that_joined_after_the_copy_is_kept_and_not_believed(
    lost: tuple[Past, Path],
) -> None:
    past, folder = lost
    async with running(folder) as vault:
        code, text = await refusal(vault, past.newcomer)
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert "host-quarantined" in text
        host = await vault.get("/hosts/c1")
        assert (host["id"], host["state"]) == (past.newcomer.id, "quarantined")
        assert "after the backup" in host["cause"]
        assert "replikera host readmit" in host["remedy"]
        await told(vault, past.source)
        await told(vault, past.target)
        await check_reconciled(vault, past)


async def test_an_owner_goes_on_without_a_host_that_is_gone(lost: tuple[Past, Path]) -> None:
    past, folder = lost
    async with running(folder) as vault:
        await told(vault, past.target)
        body = {"accept_missing": False}
        refused = await vault.call("POST", "/vault/reconciliation", body)
        assert (refused.status, refused.body["code"]) == (409, "hosts-missing")
        answer = await vault.call("POST", "/vault/reconciliation", {"accept_missing": True})
        assert (answer.status, answer.body["mode"]) == (200, "serving")
        await check_reconciled(vault, past)


async def test_a_restart_in_the_middle_asks_again(lost: tuple[Past, Path]) -> None:
    past, folder = lost
    async with running(folder) as vault:
        await told(vault, past.source)
    async with running(folder) as vault:
        assert (await vault.get("/vault"))["hosts_missing"] == ["a1", "b1"]
        # What its list denied was kept.
        assert (await vault.get("/hosts/x1"))["state"] == "quarantined"
        await told(vault, past.source)
        await told(vault, past.target)
        await check_reconciled(vault, past)


async def test_an_old_database_that_was_put_back_by_hand_is_found_out(tmp_path: Path) -> None:
    await make_vault(tmp_path)
    database = tmp_path / "state" / "vault.db"
    old = tmp_path / "old.db"
    async with running(tmp_path) as vault:
        past = await go_on(vault, lambda: copied(database, old))
    for name in SystemFiles().list_directory(database.parent):
        if name.startswith("vault.db"):
            SystemFiles().remove(database.parent / name)
    SystemFiles().replace(old, database)
    async with running(tmp_path) as vault:
        # Nobody told the vault: it serves, until the first host shows that it knows more.
        assert (await vault.get("/vault"))["mode"] == "serving"
        assert await head(vault) == past.copied_at
        async with past.source.host.session(vault, **past.source.hello()) as source:
            assert (await source.expect("welcome")).is_reconciling
            await source.send(deny_list=past.source.deny_list)
            await source.settled()
            (line,) = (await vault.call("GET", "/events?kind=vault-reconciling")).items
            assert "a1 has obeyed line" in line["detail"]
            await told(vault, past.target)
            await next_of(source, "drain")
        await check_reconciled(vault, past)


async def copied(database: Path, old: Path) -> None:
    """Copy a database that is in use, as an administrator with SQLite's own tool would."""
    source, target = sqlite3.connect(database), sqlite3.connect(old)
    source.backup(target)
    source.close()
    target.close()
