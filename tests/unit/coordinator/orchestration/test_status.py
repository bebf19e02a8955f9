from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain.control import VaultMode
from coordinator.domain.health import HealthLevel
from coordinator.domain.hosts import HostState
from coordinator.domain.identifiers import RehearsalId
from coordinator.domain.readiness import Verdict
from coordinator.domain.rehearsals import Rehearsal, RehearsalState
from coordinator.domain.replication import ReplicationReport, ReplicationState
from coordinator.orchestration import status
from coordinator.orchestration.vault import Vault
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import (
    equip,
    protect,
    report,
    save,
    the_protection,
)


async def seen(vault: Vault) -> status.ProtectionStatus:
    async with vault.store.read() as records:
        protection = await records.protections.get("web")
        (one,) = await status.protection_statuses(vault, records, (protection,))
    return one


async def test_lag_counts_from_the_start_of_the_newest_sealed_capture(
    vault: Vault, clock: VirtualClock
) -> None:
    await protect(vault)
    vault.presence.begin(SOURCE.id)
    vault.presence.begin(TARGET.id)
    began, ended = clock.now() - timedelta(seconds=9), clock.now()
    await report(vault, 2, capture_started_at=began, capture_ended_at=ended)
    one = await seen(vault)
    assert one.lag == timedelta(seconds=9)
    assert one.health.level is HealthLevel.HEALTHY
    assert one.newest_point is not None
    assert one.newest_point.sequence == 2
    assert (one.source.name, one.target.name, one.policy.name) == ("a1", "b1", "quick")
    clock.advance(3)
    acknowledged = clock.now() - timedelta(seconds=1)
    protection = await the_protection(vault)
    vault.reports.take(
        ReplicationReport(
            protection.id,
            ReplicationState.REPLICATING,
            None,
            0,
            0,
            0.0,
            acknowledged,
            3,
            clock.now(),
        )
    )
    # The target is there and does not list the point: its list decides.
    assert (await seen(vault)).lag == timedelta(seconds=12)


async def test_the_vault_is_as_well_as_the_worst_of_it(vault: Vault) -> None:
    async with vault.store.read() as records:
        assert (await status.vault_status(vault, records)).health is HealthLevel.NOT_APPLICABLE
    await protect(vault)
    async with vault.store.read() as records:
        whole = await status.vault_status(vault, records)
    assert whole.health is HealthLevel.WARNING
    assert [host.is_connected for host in whole.hosts] == [False, False]
    assert whole.protections[0].health.level is HealthLevel.UNKNOWN
    assert whole.jobs_running == 0


@pytest.mark.parametrize(
    ("state", "level"),
    [
        (HostState.ACTIVE, HealthLevel.HEALTHY),
        (HostState.QUARANTINED, HealthLevel.CRITICAL),
        (HostState.REVOKED, HealthLevel.WARNING),
        (HostState.RETIRED, HealthLevel.NOT_APPLICABLE),
    ],
)
async def test_a_host_that_is_not_trusted_shows_whatever_its_connection_says(
    vault: Vault, state: HostState, level: HealthLevel
) -> None:
    await save(vault, replace(SOURCE, state=state))
    vault.presence.begin(SOURCE.id)
    async with vault.store.read() as records:
        whole = await status.vault_status(vault, records)
    assert whole.health is level
    assert len(whole.hosts) == (0 if state is HostState.RETIRED else 1)


async def test_a_vault_that_reconciles_is_not_healthy(vault: Vault) -> None:
    async with vault.store.write() as records:
        control = await records.control()
        assert control.mode is VaultMode.SERVING
    await save(vault, replace(control, mode=VaultMode.RECONCILING))
    async with vault.store.read() as records:
        whole = await status.vault_status(vault, records)
    assert (whole.mode, whole.health) == (VaultMode.RECONCILING, HealthLevel.WARNING)


async def test_a_connected_host_was_seen_just_now(vault: Vault, clock: VirtualClock) -> None:
    await equip(vault)
    session = vault.presence.begin(SOURCE.id)
    clock.advance(4)
    session.heard()
    source, target = (status.host_status(vault, host) for host in (SOURCE, TARGET))
    assert (source.is_connected, source.last_seen_at) == (True, clock.now())
    assert (target.is_connected, target.last_seen_at) == (False, None)


async def test_whether_it_could_be_failed_over_follows_from_what_is_known_now(
    vault: Vault, clock: VirtualClock
) -> None:
    await protect(vault)
    away = (await seen(vault)).readiness
    assert (away.verdict, away.reason) == (
        Verdict.UNKNOWN,
        "Host b1 is not connected: its points cannot be read now.",
    )
    vault.presence.begin(TARGET.id)
    await report(vault, 2, capture_started_at=clock.now(), capture_ended_at=clock.now())
    clock.advance(4)
    ready = (await seen(vault)).readiness
    assert (ready.verdict, ready.point_age) == (Verdict.YES, timedelta(seconds=4))
    async with vault.store.write() as records:
        await vault.reconciliation.begin(records, "a test says so", clock.now())
    assert (await seen(vault)).readiness.verdict is Verdict.UNKNOWN


async def test_the_last_proof_is_told_beside_the_last_test(
    vault: Vault, clock: VirtualClock
) -> None:
    protection = await protect(vault)
    one = await seen(vault)
    assert (one.rehearsal, one.last_success) == (None, None)
    proof = Rehearsal(
        RehearsalId("r1"),
        protection.id,
        protection.job_id,
        RehearsalState.CLEANED_UP,
        protection.generation,
        1,
        "web - test",
        (),
        clock.now(),
        "mapped",
        clock.now(),
        was_started=True,
        cleaned_up_at=clock.now(),
    )
    later = clock.now() + timedelta(days=1)
    broken = replace(
        proof,
        id=RehearsalId("r2"),
        state=RehearsalState.FAILED,
        created_at=later,
        cleaned_up_at=None,
    )
    await save(vault, proof, broken)
    one = await seen(vault)
    assert (one.rehearsal, one.last_success) == (broken, proof)
    async with vault.store.read() as records:
        assert await status.protection_status(vault, records, "web") == one
