from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain.control import VaultMode
from coordinator.domain.health import HealthLevel
from coordinator.domain.hosts import HostState
from coordinator.domain.orders import OrderProgress
from coordinator.domain.protections import ProtectionState
from coordinator.domain.replication import ReplicationReport, ReplicationState
from coordinator.orchestration import status
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.status import Progress
from coordinator.orchestration.vault import Vault
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import (
    BY_ANN,
    equip,
    protect,
    report,
    save,
    the_order,
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


async def test_progress_is_that_of_the_order_or_of_initial_replication_while_the_job_runs(
    vault: Vault,
) -> None:
    await equip(vault)
    job = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    assert status.job_progress(vault, job) is None
    protection = await the_protection(vault)
    initial = ReplicationReport(
        protection.id, ReplicationState.INITIAL, None, 4, 9, 2.0, None, 0, vault.clock.now()
    )
    vault.reports.take(initial)
    assert status.job_progress(vault, job) == Progress(4, 9, 2.0)
    order = await the_order(vault, TARGET.id)
    vault.progress.take(job.id, OrderProgress(order.id, "accept", 1, 3))
    assert status.job_progress(vault, job) == Progress(1, 3, 0.0)
    done = job.task_done(vault.clock.now()).task_done(vault.clock.now())
    assert status.job_progress(vault, done.task_done(vault.clock.now())) is None
    assert status.replication_progress(protection, initial) == Progress(4, 9, 2.0)
    assert status.replication_progress(protection, None) is None
    over = replace(protection, state=ProtectionState.PROTECTED)
    assert status.replication_progress(over, initial) is None
