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
from replikera.identity import Credentials, Role, generate_private_key
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.trust.deny_list import open_deny_list
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
LOST_ID = "77777777-0000-4000-8000-000000000007"


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


async def test_a_folder_that_a_host_offers_no_more_breaks_its_storage_mapping(
    vault: RunningVault,
) -> None:
    source, target = await vault.add_host("a1", "a"), await vault.add_host("b1", "b")
    target.facts.replica_folders.extend(["/r", "/r/gold"])
    for host in (source, target):
        async with host.welcomed(vault):
            pass
    assert (await vault.get("/hosts/b1"))["replica_folders"] == ["/r", "/r/gold"]
    mapping = {
        "primary_host": "a1",
        "storage_class": "gold",
        "secondary_host": "b1",
        "folder": "/r/gold",
    }
    assert (await vault.post("/storage-mappings", mapping))["health"] == "healthy"
    del target.facts.replica_folders[1]
    async with target.welcomed(vault):
        (broken,) = (await vault.get("/storage-mappings"))["items"]
    assert (broken["health"], "/r/gold" in broken["cause"]) == ("critical", True)


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


def lost_host(vault: RunningVault, folder: Path) -> FakeHost:
    """Return a host that joined in a history that the vault has lost."""
    state = daemon.state_directory(settings_in(folder))
    authority = open_authority(
        SystemFiles(),
        state.authority,
        vault.vault_id,
        passphrase=(folder / "passphrase").read_bytes().strip(),
        randomness=SystemRandomness(),
        now=datetime.now(UTC),
    )
    lost = authority.issue_credentials(Role.HOST, LOST_ID, datetime.now(UTC))
    return FakeHost(LOST_ID, "x1", lost)


async def test_a_host_that_the_vault_does_not_know_is_kept_until_somebody_does(
    vault: RunningVault, vault_folder: Path
) -> None:
    known = await vault.add_host("a1", "a")
    stranger = lost_host(vault, vault_folder)
    for _ in range(2):
        code, text = await refused(vault, stranger)
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert text.startswith("host-quarantined:")
        assert "replikera host readmit x1" in text
    kept = await vault.get("/hosts/x1")
    assert (kept["id"], kept["state"]) == (LOST_ID, "quarantined")
    async with known.welcomed(vault):
        assert (await vault.get("/vault"))["mode"] == "serving"
    again = await vault.readmit(stranger)
    async with again.welcomed(vault):
        assert (await vault.get("/hosts/x1"))["state"] == "connected"


async def test_a_host_that_obeyed_more_than_the_vault_knows_is_asked_what_it_knows(
    vault: RunningVault,
) -> None:
    host = await vault.add_host("a1", "a")
    other = await vault.add_host("b1", "b")
    await protection_between(vault, host, other)
    async with host.session(vault) as session:
        obeyed = await session.expect("welcome")
    place = {"control_version": obeyed.control_version, "control_digest": obeyed.control_digest}
    async with host.session(vault, **place) as session:
        assert not (await session.expect("welcome")).is_reconciling
    ahead = place | {"control_version": obeyed.control_version + 5}
    async with host.session(vault, **ahead) as session:
        assert (await session.expect("welcome")).is_reconciling
        async with other.session(vault) as last:
            welcome = await last.expect("welcome")
        await session.expect("drain")
    assert not welcome.is_reconciling
    assert welcome.control_version > obeyed.control_version + 5


async def test_another_history_at_the_same_place_is_noticed(vault: RunningVault) -> None:
    host = await vault.add_host("a1", "a")
    async with host.session(vault) as session:
        obeyed = (await session.expect("welcome")).control_version
    async with host.session(vault, control_version=obeyed, control_digest=bytes(32)) as session:
        assert (await session.expect("welcome")).control_version > obeyed
    found = (await vault.get("/events?kind=vault-reconciling"))["items"]
    assert len(found) == 1
    assert "another line" in found[0]["detail"]


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
        (disk,), (nic,) = items[1]["disks"], items[1]["nics"]
        assert (disk["disk_id"], disk["name"], disk["size"]) == ("disk-1", "system.vhdx", 1 << 30)
        assert (nic["nic_id"], nic["name"], nic["network"]) == ("nic-0", "Adapter 0", "lan")
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


async def renewal_refusal(vault: RunningVault, host: FakeHost) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await host.renewed(vault)
    return (caught.value.details() or "").partition(":")[0]


async def test_a_renewed_certificate_takes_the_place_of_the_one_before_at_its_first_use(
    vault: RunningVault,
) -> None:
    host = await vault.add_host("a1", "a")
    async with host.welcomed(vault) as before:
        key = generate_private_key()
        renewed = await host.renewed(vault, key=key)
        again = await host.renewed(vault, key=key)
        assert again.credentials == renewed.credentials
        await before.settled()
        async with renewed.welcomed(vault) as session:
            code, text = await before.refusal()
            assert (code, text.partition(":")[0]) == (
                grpc.StatusCode.ABORTED,
                "session-replaced",
            )
            await session.settled()
    states = [item["state"] for item in (await vault.get("/hosts/a1"))["certificates"]]
    assert sorted(states) == ["active", "superseded"]


async def test_a_replaced_certificate_ends_the_live_session_and_locks_both_out(
    vault: RunningVault,
) -> None:
    host = await vault.add_host("a1", "a")
    renewed = await host.renewed(vault)
    async with renewed.welcomed(vault) as session:
        code, text = await refused(vault, host)
        assert (code, text.partition(":")[0]) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "host-quarantined",
        )
        code, text = await session.refusal()
        assert (code, text.partition(":")[0]) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "host-quarantined",
        )
    for either in (host, renewed):
        assert (await refused(vault, either))[1].startswith("host-quarantined:")
        assert await renewal_refusal(vault, either) == "host-quarantined"
    shown = await vault.get("/hosts/a1")
    assert (shown["state"], bool(shown["cause"]), bool(shown["remedy"])) == (
        "quarantined",
        True,
        True,
    )


async def test_a_second_agent_with_the_same_identity_locks_both_out(vault: RunningVault) -> None:
    host = await vault.add_host("a1", "a")
    async with host.welcomed(vault, start_count=5, run_id="original"):
        pass
    async with host.welcomed(vault, start_count=6, run_id="copy") as copy:
        async with host.session(vault, start_count=5, run_id="original") as session:
            assert (await session.refusal())[1].startswith("host-quarantined:")
        assert (await copy.refusal())[1].startswith("host-quarantined:")
    back = await vault.readmit(host, existing_host_id=host.id)
    async with back.welcomed(vault, start_count=1, run_id="reinstalled") as session:
        await session.settled()
        assert (await refused(vault, host))[1].startswith("certificate-denied:")
        await session.settled()


async def test_a_revoked_host_is_cut_off_and_all_others_are_told_at_once(
    vault: RunningVault,
) -> None:
    host, other = await vault.add_host("a1", "a"), await vault.add_host("b1", "b")
    away = await vault.add_host("c1", "b")
    async with host.welcomed(vault) as session, other.welcomed(vault) as told:
        answer = await vault.call("POST", "/hosts/a1/revoke", {"reason": "stolen"})
        assert answer.body["state"] == "revoked"
        code, text = await session.refusal()
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert text.startswith("host-revoked:")
        assert "stolen" in text
        signed = (await told.expect("deny_list")).SerializeToString(deterministic=True)
        await told.send(deny_list_stored=session_pb2.DenyListStored(version=1))
        await told.settled()
    denied = open_deny_list(
        signed,
        vault_id=vault.vault_id,
        root_certificate=vault.root,
        now=datetime.now(UTC),
    )
    assert denied.version == 1
    assert [item.serial for item in denied.certificates] == [host.credentials.caller.serial]
    assert denied.identities == {host.credentials.caller.uri}
    assert (await refused(vault, host))[1].startswith("host-revoked:")
    assert await renewal_refusal(vault, host) == "host-revoked"
    async with away.welcomed(vault) as late:
        assert (await late.expect("deny_list")).SerializeToString(deterministic=True) == signed
    async with other.welcomed(vault, deny_list_version=1) as session:
        await session.send(heartbeat=session_pb2.Heartbeat(number=1))
        await session.expect("heartbeat")


async def test_what_is_denied_stays_denied_after_a_restart(vault_folder: Path) -> None:
    async with running(vault_folder) as vault:
        host, other = await vault.add_host("a1", "a"), await vault.add_host("b1", "b")
        await vault.post("/hosts/a1/revoke", {"reason": ""})
        async with other.welcomed(vault, deny_list_version=0) as session:
            await session.expect("deny_list")
            await session.send(deny_list_stored=session_pb2.DenyListStored(version=1))
            await session.settled()
    async with running(vault_folder) as vault:
        assert (await refused(vault, host))[1].startswith("host-revoked:")
        assert (await vault.get("/hosts/b1"))["deny_list_version"] == 1


async def test_what_a_host_reports_of_anothers_id_changes_nothing(vault: RunningVault) -> None:
    host, other = await vault.add_host("a1", "a"), await vault.add_host("b1", "b")
    async with other.welcomed(vault):
        before = await vault.get("/hosts/b1")
        claiming = FakeHost(other.id, other.name, host.credentials)
        async with claiming.session(vault) as session:
            assert (await session.expect("welcome")).host_id == host.id
            await session.settled()
        after = await vault.get("/hosts/b1")
    assert (after["replication_address"], after["state"]) == (
        before["replication_address"],
        "connected",
    )


async def test_a_withdrawn_order_is_taken_back_from_a_connected_host(vault: RunningVault) -> None:
    source, target = await vault.add_host("a1", "a"), await vault.add_host("b1", "b")
    await protection_between(vault, source, target)
    (job,) = (await vault.get("/jobs"))["items"]
    async with target.welcomed(vault) as session:
        order = await session.order()
        await vault.post(f"/jobs/{job['id']}/cancel", {})
        assert (await session.expect("withdraw")).order_id == order.order_id
        await session.finish(order, withdrawn=orders_pb2.Withdrawn())
    assert (await vault.get(f"/jobs/{job['id']}"))["state"] == "cancelled"
