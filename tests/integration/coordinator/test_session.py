"""The host session over real mutual TLS: who is let in, and what a host may say."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from coordinator import daemon
from coordinator.authority.authority import open_authority
from coordinator.rpc import session as session_module
from replikera.channel import open_channel
from replikera.identity import Credentials, Role
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.wire.v1 import orders_pb2, session_pb2, session_pb2_grpc, types_pb2
from tests.integration.coordinator.running_vault import (
    SECONDS,
    FakeHost,
    RunningVault,
    inventory,
    machine,
    point,
    running,
    settings_in,
)
from tests.support.authority import make_authority

MACHINE_ID = "99999999-0000-4000-8000-000000000001"


async def refused(vault: RunningVault, host: FakeHost) -> tuple[grpc.StatusCode, str]:
    async with host.session(vault) as session:
        return await session.refusal()


async def protection_between(vault: RunningVault, source: FakeHost, target: FakeHost) -> str:
    """Protect a machine of `source` on `target`; return the protection's id."""
    async with source.welcomed(vault) as session:
        await session.send(inventory=inventory([machine("web", MACHINE_ID)], {}))
        await session.settled()
    async with target.welcomed(vault):
        await vault.post(
            "/policies", {"name": "quick", "copy_frequency_seconds": 5, "retention_hours": 1}
        )
        body = {"machine": "web", "target_host": target.name, "policy": "quick"}
        await vault.post("/protections", body)
    protection_id: str = (await vault.get("/protections/web"))["id"]
    return protection_id


async def test_a_host_is_welcomed_by_its_certificates_name_and_shown_as_connected(
    vault: RunningVault,
) -> None:
    host = await vault.add_host("a1", "a")
    (before,) = (await vault.get("/hosts"))["items"]
    assert (before["state"], before["last_seen_at"]) == ("disconnected", None)
    async with host.session(vault) as session:
        welcome = await session.expect("welcome")
        assert welcome.host_id == host.id
        told = welcome.now.ToDatetime(tzinfo=UTC)
        assert abs(datetime.now(UTC) - told) < timedelta(seconds=10)
        await session.send(heartbeat=session_pb2.Heartbeat(number=3))
        assert (await session.expect("heartbeat")).number == 3
        (shown,) = (await vault.get("/hosts"))["items"]
        assert (shown["state"], shown["site"], shown["hypervisor"]) == (
            "connected",
            "a",
            "simulated",
        )
        assert shown["replication_address"] == "a1.test:7410"
    async with asyncio.timeout(SECONDS):
        while (gone := (await vault.get("/hosts"))["items"][0])["state"] != "disconnected":
            pass
    assert gone["last_seen_at"] is not None


@pytest.mark.parametrize("trusts", ["own root", "our root"])
async def test_a_certificate_of_another_authority_is_refused_at_the_handshake(
    vault: RunningVault, trusts: str
) -> None:
    host = await vault.add_host("a1", "a")
    foreign = make_authority().issue(Role.HOST, host.id, vault_id=vault.vault_id)
    root = vault.root if trusts == "our root" else foreign.root_certificate
    stranger = host.with_credentials(
        Credentials(foreign.certificate_chain, foreign.private_key, root)
    )
    with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
        async with stranger.session(vault) as session:
            await session.receive()
    assert (await vault.get("/hosts"))["items"][0]["state"] == "disconnected"


async def test_an_operator_certificate_is_refused_on_the_session_port(vault: RunningVault) -> None:
    operator = FakeHost("whoever", "a1", vault.operator)
    code, text = await refused(vault, operator)
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert text.startswith("role-not-allowed:")


async def test_a_host_that_the_vault_does_not_know_is_refused(
    vault: RunningVault, vault_folder: Path
) -> None:
    await vault.add_host("a1", "a")
    state = daemon.state_directory(settings_in(vault_folder))
    passphrase = (vault_folder / "passphrase").read_bytes().strip()
    authority = open_authority(
        SystemFiles(),
        state.authority,
        vault.vault_id,
        passphrase=passphrase,
        randomness=SystemRandomness(),
    )
    lost = authority.issue_credentials(Role.HOST, "no-such-host", datetime.now(UTC))
    code, text = await refused(vault, FakeHost("no-such-host", "x1", lost))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert text.startswith("host-not-registered:")
    assert "replikera host invite" in text


async def test_a_vault_behind_what_a_host_obeyed_is_refused(vault: RunningVault) -> None:
    host = await vault.add_host("a1", "a")
    async with host.session(vault) as session:
        obeyed = (await session.expect("welcome")).control_version
    assert obeyed > 0
    async with host.session(vault, control_version=obeyed) as session:
        await session.expect("welcome")
    async with host.session(vault, control_version=obeyed + 1) as session:
        code, text = await session.refusal()
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert text.startswith("vault-behind:")


async def test_the_control_version_rises_with_every_decision(vault: RunningVault) -> None:
    host = await vault.add_host("a1", "a")
    async with host.session(vault) as session:
        before = (await session.expect("welcome")).control_version
    await vault.join_line("a")
    async with host.session(vault) as session:
        assert (await session.expect("welcome")).control_version > before


async def test_a_second_session_of_a_host_takes_the_place_of_the_first(
    vault: RunningVault,
) -> None:
    host = await vault.add_host("a1", "a")
    async with host.welcomed(vault) as first, host.welcomed(vault) as second:
        code, text = await first.refusal()
        assert code is grpc.StatusCode.ABORTED
        assert text.startswith("session-replaced:")
        await second.settled()
        assert (await vault.get("/hosts"))["items"][0]["state"] == "connected"


async def test_a_session_that_does_not_begin_with_hello_is_ended(
    vault: RunningVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await vault.add_host("a1", "a")
    monkeypatch.setattr(session_module, "HELLO_SECONDS", 0.2)
    for first in (session_pb2.SessionRequest(heartbeat=session_pb2.Heartbeat(number=1)), None):
        channel = open_channel(
            f"127.0.0.1:{vault.ports.session}",
            peer_name=vault.peer_name,
            credentials=host.credentials,
        )
        async with channel:
            call: Any = session_pb2_grpc.HostSessionServiceStub(channel).Session()
            if first is not None:
                await call.write(first)
            with pytest.raises(grpc.aio.AioRpcError, match="no-hello"):
                await call.read()


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"hello": session_pb2.Hello()},
        {"inventory": inventory([machine("twin", "1"), machine("other", "1")], {})},
        {
            "inventory": session_pb2.Inventory(
                machines=[types_pb2.Machine(machine_id="1", name="a", description=b"{}")]
            )
        },
        {
            "inventory": session_pb2.Inventory(
                machines=[
                    types_pb2.Machine(
                        machine_id="1", name="a", description=machine("b", "1").to_json()
                    )
                ]
            )
        },
        {"points": session_pb2.RecoveryPointReport(generation="g", points=[point("other", 1)])},
        {"points": session_pb2.RecoveryPointReport(generation="g", points=[point("g", 0)])},
        {
            "points": session_pb2.RecoveryPointReport(
                generation="g", points=[point("g", 1, digest=b"short")]
            )
        },
        {"replication": session_pb2.ReplicationReport(protection_id="p")},
        {"outcome": orders_pb2.OrderOutcome(order_id="o")},
    ],
)
async def test_a_message_that_makes_no_sense_ends_the_session(
    vault: RunningVault, message: dict[str, Any]
) -> None:
    host = await vault.add_host("a1", "a")
    async with host.welcomed(vault) as session:
        await session.send(**message)
        code, text = await session.refusal()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text.startswith("invalid-")
    assert (await vault.get("/machines"))["items"] == []


async def test_a_host_cannot_speak_of_a_protection_that_is_not_its_own(
    vault: RunningVault,
) -> None:
    source = await vault.add_host("a1", "a")
    target = await vault.add_host("b1", "b")
    rogue = await vault.add_host("x1", "b")
    protection_id = await protection_between(vault, source, target)
    generation = (await vault.get("/protections/web"))["generation"]
    report = session_pb2.ReplicationReport(
        protection_id=protection_id, state=session_pb2.REPLICATION_STATE_RESYNC_REQUIRED
    )
    for host in (rogue, target):
        async with host.welcomed(vault) as session:
            if host is target:
                await session.order()
            await session.send(replication=report)
            await session.settled()
    for host in (rogue, source):
        async with host.welcomed(vault) as session:
            await session.report_points(
                protection_id, generation, point(generation, 1), complete=True
            )
            await session.settled()
    assert (await vault.get("/protections/web"))["state"] == "enabling"
    assert (await vault.get("/protections/web/points"))["items"] == []


async def test_a_host_cannot_answer_or_report_on_an_order_of_another(vault: RunningVault) -> None:
    source = await vault.add_host("a1", "a")
    target = await vault.add_host("b1", "b")
    await protection_between(vault, source, target)
    async with target.welcomed(vault) as session:
        order = await session.order()
    (job,) = (await vault.get("/jobs"))["items"]
    async with source.welcomed(vault) as session:
        await session.send(
            outcome=orders_pb2.OrderOutcome(order_id=order.order_id, done=orders_pb2.Done())
        )
        await session.send(
            progress=orders_pb2.OrderProgress(order_id=order.order_id, done_bytes=5, total_bytes=5)
        )
        await session.settled()
    assert (await vault.get(f"/jobs/{job['id']}")) == job


async def test_progress_of_an_order_is_shown_by_its_job_until_the_outcome(
    vault: RunningVault,
) -> None:
    source = await vault.add_host("a1", "a")
    target = await vault.add_host("b1", "b")
    await protection_between(vault, source, target)
    (job,) = (await vault.get("/jobs"))["items"]
    async with target.welcomed(vault) as session:
        order = await session.order()
        await session.send(
            progress=orders_pb2.OrderProgress(order_id=order.order_id, done_bytes=3, total_bytes=9)
        )
        await session.settled()
        shown = (await vault.get(f"/jobs/{job['id']}"))["progress"]
        assert (shown["done_bytes"], shown["total_bytes"]) == (3, 9)
        await session.finish(order)
    assert (await vault.get(f"/jobs/{job['id']}"))["progress"] is None


async def test_an_outcome_of_the_wrong_kind_fails_the_job(vault: RunningVault) -> None:
    source = await vault.add_host("a1", "a")
    target = await vault.add_host("b1", "b")
    await protection_between(vault, source, target)
    async with target.welcomed(vault) as session:
        wrong = orders_pb2.RehearsalCleanedUp(removed=["everything"])
        await session.finish(await session.order(), rehearsal_cleaned_up=wrong)
    (job,) = (await vault.get("/jobs"))["items"]
    assert job["state"] == "failed"
    assert "RehearsalCleanedUp" in job["cause"]


async def test_an_inventory_replaces_the_one_before(vault: RunningVault) -> None:
    host = await vault.add_host("a1", "a")
    async with host.welcomed(vault) as session:
        both = [machine("web", "1", "lan"), machine("db", "2")]
        await session.send(inventory=inventory(both, {"lan": False}))
        await session.settled()
        items = (await vault.get("/machines"))["items"]
        assert [(item["name"], item["host"], item["site"]) for item in items] == [
            ("db", "a1", "a"),
            ("web", "a1", "a"),
        ]
        assert items[1]["disks"] == [{"disk_id": "disk-1", "name": "system.vhdx", "size": 1 << 30}]
        assert items[1]["nics"] == [{"nic_id": "nic-0", "name": "Adapter 0", "network": "lan"}]
        await session.send(inventory=inventory([both[1]], {"dmz": True}))
        await session.settled()
    assert [item["name"] for item in (await vault.get("/machines"))["items"]] == ["db"]
    (network,) = (await vault.get("/networks"))["items"]
    assert (network["name"], network["is_isolated"], network["subnets"]) == (
        "dmz",
        True,
        ["10.0.0.0/24"],
    )


async def test_connected_hosts_are_told_to_leave_when_the_coordinator_stops(
    vault_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "DRAIN_SECONDS", 0.5)
    async with AsyncExitStack() as stack:
        async with running(vault_folder) as vault:
            host = await vault.add_host("a1", "a")
            session = await stack.enter_async_context(host.welcomed(vault))
        assert await session.expect("drain") == session_pb2.Drain()
    async with running(vault_folder) as again:
        (shown,) = (await again.get("/hosts"))["items"]
        assert shown["last_seen_at"] is not None


async def test_a_session_ends_when_its_certificate_expires(
    vault: RunningVault,
) -> None:
    host = await vault.add_host("a1", "a")
    vault.clock.offset = timedelta(days=7, seconds=1)
    code, text = await refused(vault, host)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert text.startswith("certificate-expired:")
