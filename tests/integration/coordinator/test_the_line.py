"""The main job over real listeners: enable, replicate, rehearse, clean up, with restarts and repetitions between."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from replikera.wire.v1 import orders_pb2, session_pb2, types_pb2
from tests.integration.coordinator.running_vault import (
    FakeHost,
    FakeSession,
    RunningVault,
    decided,
    inventory,
    machine,
    point,
    running,
)

MACHINE_ID = "99999999-0000-4000-8000-000000000001"


@dataclass
class Sites:
    vault: RunningVault
    source: FakeHost
    target: FakeHost

    @asynccontextmanager
    async def sessions(
        self, vault: RunningVault | None = None
    ) -> AsyncIterator[tuple[FakeSession, FakeSession]]:
        vault = vault or self.vault
        async with AsyncExitStack() as stack:
            source = await stack.enter_async_context(self.source.welcomed(vault))
            target = await stack.enter_async_context(self.target.welcomed(vault))
            await source.send(
                inventory=inventory(
                    [machine("web", MACHINE_ID, "lan", "storage")], {"lan": False, "storage": False}
                )
            )
            await target.send(inventory=inventory([], {"dr-lan": False, "bubble": True}))
            await source.settled()
            await target.settled()
            yield source, target


async def two_sites(vault: RunningVault) -> Sites:
    return Sites(vault, await vault.add_host("a1", "a"), await vault.add_host("b1", "b"))


@pytest.fixture
async def sites(vault: RunningVault) -> Sites:
    return await two_sites(vault)


async def enable(vault: RunningVault) -> dict[str, Any]:
    await vault.post(
        "/policies", {"name": "quick", "copy_frequency_seconds": 5, "retention_hours": 24}
    )
    body = {"machine": "web", "target_host": "b1", "policy": "quick"}
    return await vault.post("/protections", body)


async def protect(
    vault: RunningVault, source: FakeSession, target: FakeSession
) -> orders_pb2.AcceptReplica:
    """Go as far as the first point; return what the target was told to accept."""
    await enable(vault)
    accept = await target.order()
    await target.finish(accept)
    await source.finish(await source.order())
    replica = accept.accept_replica
    await target.report_points(
        replica.protection_id,
        replica.epoch.generation,
        point(replica.epoch.generation, 1),
        complete=True,
    )
    await target.expect("points_accepted")
    return replica


def task_states(job: dict[str, Any]) -> list[str]:
    return [task["state"] for task in job["tasks"]]


async def test_a_machine_is_protected_only_when_its_target_holds_a_point(sites: Sites) -> None:
    vault = sites.vault
    async with sites.sessions() as (source, target):
        job = await enable(vault)
        assert (job["kind"], job["subject"], job["state"]) == (
            "enable-protection",
            "web",
            "running",
        )
        assert [task["name"] for task in job["tasks"]] == [
            "accept replica at target",
            "start replication at source",
            "initial replication",
        ]

        accept = await target.order()
        replica = accept.accept_replica
        assert accept.job_id == job["id"]
        assert replica.source_host_id == sites.source.id
        assert (replica.machine_id, replica.machine_name) == (MACHINE_ID, "web")
        assert replica.retention.ToTimedelta() == timedelta(hours=24)
        assert replica.epoch.number == 1
        await target.finish(accept)

        start = await source.order()
        replicate = start.start_replication
        assert replicate.protection_id == replica.protection_id
        assert replicate.epoch == replica.epoch
        assert replicate.target_host_id == sites.target.id
        assert replicate.target_address == "b1.test:7410"
        assert replicate.copy_frequency.ToTimedelta() == timedelta(seconds=5)
        await source.finish(start)

        running_job = await vault.get(f"/jobs/{job['id']}")
        assert task_states(running_job) == ["succeeded", "succeeded", "running"]
        protection = await vault.get("/protections/web")
        assert protection["state"] == "initial-replication"
        assert (protection["health"], protection["lag_seconds"]) == ("not-applicable", None)

        await source.send(
            replication=session_pb2.ReplicationReport(
                protection_id=replica.protection_id,
                state=session_pb2.REPLICATION_STATE_INITIAL,
                done_bytes=40,
                total_bytes=100,
                rate=20.0,
            )
        )
        await source.settled()
        expected = {"done_bytes": 40, "total_bytes": 100, "rate": 20.0}
        for shown in (await vault.get(f"/jobs/{job['id']}"), await vault.get("/protections/web")):
            assert shown["progress"].items() >= expected.items()

        began = datetime.now(UTC) - timedelta(seconds=3)
        generation = replica.epoch.generation
        await target.report_points(
            replica.protection_id, generation, point(generation, 1, began), complete=True
        )
        assert (await target.expect("points_accepted")).number == 5
        done = await vault.get(f"/jobs/{job['id']}")
        assert (done["state"], done["progress"]) == ("succeeded", None)
        assert done["finished_at"] is not None
        protection = await vault.get("/protections/web")
        assert (protection["state"], protection["health"]) == ("protected", "healthy")
        assert 3.0 <= protection["lag_seconds"] < 10.0
        assert protection["newest_point"]["sequence"] == 1
        (listed,) = (await vault.get("/protections/web/points"))["items"]
        assert listed["kind"] == "crash-consistent"
        assert (listed["payload_bytes"], listed["generation"]) == (4096, generation)
        assert (await vault.get("/machines"))["items"][0]["protection"] == protection["id"]


async def test_the_first_point_may_overtake_the_outcome_of_the_source(sites: Sites) -> None:
    async with sites.sessions() as (source, target):
        job = await enable(sites.vault)
        accept = await target.order()
        await target.finish(accept)
        start = await source.order()
        replica = accept.accept_replica
        await target.report_points(
            replica.protection_id,
            replica.epoch.generation,
            point(replica.epoch.generation, 1),
            complete=True,
        )
        await target.expect("points_accepted")
        assert (await sites.vault.get(f"/jobs/{job['id']}"))["state"] == "running"
        await source.finish(start)
        assert (await sites.vault.get(f"/jobs/{job['id']}"))["state"] == "succeeded"


async def test_a_refusing_target_fails_the_job_and_the_machine_can_be_enabled_again(
    sites: Sites,
) -> None:
    vault = sites.vault
    async with sites.sessions() as (source, target):
        job = await enable(vault)
        first = await target.order()
        full = types_pb2.Failure(code="disk-full", cause="The volume is full.", remedy="Free it.")
        await target.finish(first, failure=full)
        failed = await vault.get(f"/jobs/{job['id']}")
        assert (failed["state"], failed["cause"], failed["remedy"]) == (
            "failed",
            "The volume is full.",
            "Free it.",
        )
        assert task_states(failed) == ["failed", "waiting", "waiting"]
        protection = await vault.get("/protections/web")
        assert (protection["state"], protection["health"]) == ("failed", "critical")
        assert protection["cause"] == "The volume is full."

        again = await vault.post(
            "/protections", {"machine": "web", "target_host": "b1", "policy": "quick"}
        )
        second = await target.order()
        assert second.order_id != first.order_id
        assert decided(second).accept_replica == decided(first).accept_replica
        await target.finish(second)
        await source.finish(await source.order())
        assert task_states(await vault.get(f"/jobs/{again['id']}"))[:2] == ["succeeded"] * 2


async def test_a_test_failover_goes_to_the_test_network_and_counts_only_when_cleaned_up(
    sites: Sites,
) -> None:
    vault = sites.vault
    async with sites.sessions() as (source, target):
        await vault.post(
            "/network-mappings",
            {
                "primary_host": "a1",
                "primary_network": "lan",
                "secondary_host": "b1",
                "secondary_network": "dr-lan",
                "test_network": "bubble",
            },
        )
        replica = await protect(vault, source, target)
        generation = replica.epoch.generation
        await target.report_points(replica.protection_id, generation, point(generation, 2))
        await target.expect("points_accepted")

        job = await vault.post("/protections/web/test-failovers", {"point": "latest"})
        order = await target.order()
        start = order.start_rehearsal
        assert (start.generation, start.sequence) == (generation, 2)
        assert start.machine_name == "web - test"
        assert {nic.nic_id: nic.network for nic in start.nics} == {"nic-0": "bubble", "nic-1": ""}
        assert start.guest_timeout.ToTimedelta() > timedelta(0)
        (rehearsal,) = (await vault.get("/test-failovers"))["items"]
        assert (rehearsal["state"], rehearsal["is_successful"]) == ("starting", False)

        await target.finish(
            order,
            rehearsal_started=orders_pb2.RehearsalStarted(
                machine_id="recovered",
                disks=[
                    orders_pb2.RecoveredDisk(disk_id="disk-1", path="/r/web.vhdx", size=1 << 30)
                ],
                steps=[types_pb2.Measurement(name="recover", seconds=0.5)],
                guest=orders_pb2.GuestReport(is_healthy=True, summary="verified", records=12),
                nics=start.nics,
            ),
        )
        assert (await vault.get(f"/jobs/{job['id']}"))["state"] == "succeeded"
        started = await vault.get(f"/test-failovers/{rehearsal['id']}")
        assert (started["state"], started["is_successful"]) == ("started", False)
        assert started["disks"] == [{"disk_id": "disk-1", "path": "/r/web.vhdx", "size": 1 << 30}]
        assert started["guest"] == {"is_healthy": True, "summary": "verified", "records": 12}
        assert (await vault.get("/protections/web"))["test_failover"] == {
            "id": rehearsal["id"],
            "state": "started",
        }
        second = await vault.call("POST", "/protections/web/test-failovers", {"point": 1})
        assert (second.status, second.body["code"]) == (409, "test-failover-exists")

        await vault.post("/protections/web/test-failovers/clean-up", {"notes": "all good"})
        order = await target.order()
        assert order.clean_up_rehearsal.rehearsal_id == rehearsal["id"]
        removed = orders_pb2.RehearsalCleanedUp(removed=["web - test", "/r/web.vhdx"])
        await target.finish(order, rehearsal_cleaned_up=removed)
        gone = await vault.get(f"/test-failovers/{rehearsal['id']}")
        assert (gone["state"], gone["is_successful"]) == ("cleaned-up", True)
        assert gone["removed"] == ["web - test", "/r/web.vhdx"]
        assert gone["notes"] == "all good"
        again = await vault.call("POST", "/protections/web/test-failovers/clean-up", {})
        assert (again.status, again.body["code"]) == (404, "no-test-failover")


async def test_a_failed_test_failover_can_be_cleaned_up_and_never_counts_as_successful(
    sites: Sites,
) -> None:
    vault = sites.vault
    async with sites.sessions() as (source, target):
        await protect(vault, source, target)
        job = await vault.post("/protections/web/test-failovers", {"point": 1})
        order = await target.order()
        on_production = orders_pb2.NicConnection(nic_id="nic-0", network="dr-lan")
        await target.finish(
            order,
            rehearsal_started=orders_pb2.RehearsalStarted(machine_id="m", nics=[on_production]),
        )
        failed = await vault.get(f"/jobs/{job['id']}")
        assert failed["state"] == "failed"
        assert "dr-lan" in failed["cause"]
        await vault.post("/protections/web/test-failovers/clean-up", {})
        cleaned = orders_pb2.RehearsalCleanedUp(removed=["web - test"])
        await target.finish(await target.order(), rehearsal_cleaned_up=cleaned)
        (rehearsal,) = (await vault.get("/test-failovers"))["items"]
        assert (rehearsal["state"], rehearsal["is_successful"]) == ("cleaned-up", False)
        assert (
            await vault.call("POST", "/protections/web/test-failovers", {"point": 1})
        ).status == 202


async def test_an_unfinished_job_goes_on_after_a_restart_of_the_coordinator(
    vault_folder: Path,
) -> None:
    async with running(vault_folder) as vault:
        sites = await two_sites(vault)
        async with sites.sessions() as (_, target):
            job = await enable(vault)
            lost = await target.order()

    async with running(vault_folder) as vault:
        assert (await vault.get(f"/jobs/{job['id']}"))["state"] == "running"
        async with sites.target.welcomed(vault) as target:
            accept = await target.order()
            assert decided(accept) == decided(lost)
            await target.finish(accept)

    async with running(vault_folder) as vault:
        async with sites.target.welcomed(vault) as target:
            await target.settled()
        async with sites.source.welcomed(vault) as source:
            await source.finish(await source.order())

    async with running(vault_folder) as vault:
        async with sites.target.welcomed(vault) as target:
            replica = accept.accept_replica
            await target.report_points(
                replica.protection_id,
                replica.epoch.generation,
                point(replica.epoch.generation, 1),
                complete=True,
            )
            await target.expect("points_accepted")
        assert (await vault.get(f"/jobs/{job['id']}"))["state"] == "succeeded"


async def test_digests_of_a_point_are_read_at_the_target_and_stay_with_their_job(
    vault_folder: Path,
) -> None:
    async with running(vault_folder) as vault:
        sites = await two_sites(vault)
        async with sites.sessions() as (source, target):
            await protect(vault, source, target)
            path = "/protections/web/points/latest/digest"
            answer = await vault.call("POST", path, {})
            assert answer.status == 202
            lost = await target.order()
    disk = orders_pb2.DiskDigest(disk_id="d", name="os.vhdx", size=9, sha256=b"\xab" * 32)
    async with running(vault_folder) as vault, sites.target.welcomed(vault) as target:
        order = await target.order()
        assert decided(order) == decided(lost)
        assert order.digest_point.sequence == 1
        for _ in range(2):
            await target.finish(order, point_digests=orders_pb2.PointDigests(disks=[disk]))
    async with running(vault_folder) as vault:
        job = await vault.get(f"/jobs/{answer.body['id']}")
    assert (job["kind"], job["state"]) == ("digest-point", "succeeded")
    assert job["result"]["point"]["sequence"] == 1
    assert job["result"]["disks"] == [
        {"disk_id": "d", "name": "os.vhdx", "size": 9, "sha256": "ab" * 32}
    ]


async def test_an_order_is_sent_again_until_its_outcome_is_stored_and_a_repeated_outcome_changes_nothing(
    sites: Sites,
) -> None:
    vault = sites.vault
    async with sites.sessions():
        job = await enable(vault)
    async with sites.target.welcomed(vault) as target:
        order = await target.order()
    async with sites.target.welcomed(vault) as target:
        assert decided(await target.order()) == decided(order)
        await target.finish(order)
        before = await vault.get(f"/jobs/{job['id']}")
        await target.finish(order)
        too_late = types_pb2.Failure(code="x", cause="Changed my mind.", remedy="None.")
        await target.finish(order, failure=too_late)
        assert await vault.get(f"/jobs/{job['id']}") == before
    async with sites.target.welcomed(vault) as target:
        await target.settled()
    async with sites.source.welcomed(vault) as source:
        await source.order()
        await source.settled()


async def test_released_points_disappear_and_a_complete_list_replaces_all(sites: Sites) -> None:
    vault = sites.vault
    async with sites.sessions() as (source, target):
        replica = await protect(vault, source, target)
        generation, protection = replica.epoch.generation, replica.protection_id

        async def sequences() -> list[int]:
            items = (await vault.get("/protections/web/points"))["items"]
            return [item["sequence"] for item in items]

        new = [point(generation, number) for number in (2, 3, 4)]
        await target.report_points(protection, generation, *new, released=[1, 99])
        await target.expect("points_accepted")
        assert await sequences() == [4, 3, 2]
        await target.report_points(protection, generation, *new)
        await target.expect("points_accepted")
        assert await sequences() == [4, 3, 2]
        kept = [new[0], new[2], point(generation, 5)]
        await target.report_points(protection, generation, *kept, complete=True)
        await target.expect("points_accepted")
        assert await sequences() == [5, 4, 2]

        changed = point(generation, 5, digest=b"x" * 32)
        await target.report_points(protection, generation, changed)
        await target.settled()
        unknown = "aaaaaaaa-1111-4111-8111-111111111111"
        await target.report_points(protection, unknown, point(unknown, 6), complete=True)
        await target.settled()
        assert await sequences() == [5, 4, 2]


async def test_a_resync_that_the_source_requires_is_critical_and_outlives_a_restart(
    vault_folder: Path,
) -> None:
    async with running(vault_folder) as vault:
        sites = await two_sites(vault)
        async with sites.sessions() as (source, target):
            replica = await protect(vault, source, target)
            lost = types_pb2.Failure(
                code="mark-missing", cause="The mark is gone.", remedy="Resync."
            )
            await source.send(
                replication=session_pb2.ReplicationReport(
                    protection_id=replica.protection_id,
                    state=session_pb2.REPLICATION_STATE_RESYNC_REQUIRED,
                    failure=lost,
                )
            )
            await source.settled()
            assert (await vault.get("/status"))["health"] == "critical"
    async with running(vault_folder) as vault:
        async with sites.source.welcomed(vault) as source:
            await source.send(
                replication=session_pb2.ReplicationReport(
                    protection_id=replica.protection_id,
                    state=session_pb2.REPLICATION_STATE_REPLICATING,
                )
            )
            await source.settled()
            protection = await vault.get("/protections/web")
        assert (protection["state"], protection["health"]) == ("resync-required", "critical")
        assert protection["cause"] == "The mark is gone."


async def test_nothing_is_called_healthy_while_the_source_host_is_away(sites: Sites) -> None:
    vault = sites.vault
    async with sites.sessions() as (source, target):
        await protect(vault, source, target)
        assert (await vault.get("/protections/web"))["health"] == "healthy"
        vault.clock.offset = timedelta(seconds=14)
        assert (await vault.get("/protections/web"))["health"] == "healthy"
        vault.clock.offset = timedelta(seconds=16)
        protection = await vault.get("/protections/web")
        assert protection["health"] == "unknown"
        assert "a1" in protection["cause"]
        assert protection["lag_seconds"] >= 16
        assert {host["state"] for host in (await vault.get("/hosts"))["items"]} == {"disconnected"}
        await source.settled()
        assert (await vault.get("/protections/web"))["health"] == "warning"
        await target.settled()
        protection = await vault.get("/protections/web")
        assert protection["health"] == "warning"
        assert "older than was promised" in protection["cause"]
        vault.clock.offset = timedelta(seconds=90)
        await source.settled()
        late = await vault.get("/protections/web")
        assert late["health"] == "critical"
        assert late["lag_seconds"] >= 75


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"machine": "nobody"}, 404, "unknown-machine"),
        ({"target_host": "c1"}, 404, "unknown-host"),
        ({"policy": "gold"}, 404, "unknown-policy"),
        ({"target_host": "a1"}, 422, "same-host"),
        ({"policy": "hasty"}, 422, "copy-frequency-too-short"),
        ({}, 409, "already-protected"),
    ],
)
async def test_what_cannot_be_protected_is_refused_by_name(
    sites: Sites, change: dict[str, str], status: int, code: str
) -> None:
    sites.source.facts.minimum_copy_interval_ms = 5000
    async with sites.sessions():
        await enable(sites.vault)
        await sites.vault.post(
            "/policies", {"name": "hasty", "copy_frequency_seconds": 4, "retention_hours": 1}
        )
        body = {"machine": "web", "target_host": "b1", "policy": "quick"} | change
        answer = await sites.vault.call("POST", "/protections", body)
        assert (answer.status, answer.body["code"]) == (status, code)
        assert answer.body["remedy"]
        named = next(iter(change.values()), "web")
        assert named in answer.body["detail"]
        assert len((await sites.vault.get("/protections"))["items"]) == 1


async def test_an_unknown_point_and_an_unprotected_machine_cannot_be_rehearsed(
    sites: Sites,
) -> None:
    vault = sites.vault
    async with sites.sessions() as (source, target):
        unknown = await vault.call("POST", "/protections/web/test-failovers", {"point": 1})
        assert (unknown.status, unknown.body["code"]) == (404, "unknown-protection")
        await enable(vault)
        early = await vault.call("POST", "/protections/web/test-failovers", {"point": "latest"})
        assert (early.status, early.body["code"]) == (409, "not-protected-yet")
        accept = await target.order()
        await target.finish(accept)
        replica = accept.accept_replica
        generation = replica.epoch.generation
        await target.report_points(
            replica.protection_id, generation, point(generation, 1), complete=True
        )
        await target.expect("points_accepted")
        starting = await vault.call("POST", "/protections/web/test-failovers", {"point": 1})
        assert (starting.status, starting.body["code"]) == (409, "not-protected-yet")
        await source.finish(await source.order())
        wrong = await vault.call("POST", "/protections/web/test-failovers", {"point": 7})
        assert (wrong.status, wrong.body["code"]) == (404, "unknown-point")
        assert "7" in wrong.body["detail"]
