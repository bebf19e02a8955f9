from dataclasses import replace
from datetime import timedelta

from coordinator.domain.orders import Done, OrderProgress
from coordinator.domain.protections import ProtectionState
from coordinator.domain.replication import ReplicationReport, ReplicationState, Verification
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.progress import Progress, job_progress, replication_progress
from coordinator.orchestration.protection_changes import verify_protection
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.vault import Vault
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import BY_ANN, equip, protect, the_job, the_order, the_protection


async def test_progress_is_that_of_the_order_or_of_initial_replication_while_the_job_runs(
    vault: Vault, clock: VirtualClock
) -> None:
    await equip(vault)
    job = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    assert job_progress(vault, job) is None
    now = clock.now()
    protection = await the_protection(vault)
    initial = ReplicationReport(
        protection.id, ReplicationState.INITIAL, None, 4, 9, 2.0, None, 0, vault.clock.now()
    )
    vault.reports.take(initial)
    assert job_progress(vault, job) == Progress(4, 9, 2.0, now)
    order = await the_order(vault, TARGET.id)
    vault.progress.take(job.id, OrderProgress(order.id, "accept", 1, 3))
    assert job_progress(vault, job) == Progress(1, 3, None, now)
    done = job.task_done(vault.clock.now()).task_done(vault.clock.now())
    assert job_progress(vault, done.task_done(vault.clock.now())) is None
    assert replication_progress(vault, protection) == Progress(4, 9, 2.0, now)
    assert replication_progress(vault, replace(protection, state=ProtectionState.PROTECTED)) is None


async def test_a_rate_that_nobody_measures_any_more_is_unknown(
    vault: Vault, clock: VirtualClock
) -> None:
    await equip(vault)
    job = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    protection, told = await the_protection(vault), clock.now()
    vault.reports.take(
        ReplicationReport(protection.id, ReplicationState.INITIAL, None, 4, 9, 2.0, None, 0, told)
    )
    clock.advance(31)
    gone = Progress(4, 9, None, told)
    assert job_progress(vault, job) == gone
    assert replication_progress(vault, protection) == gone
    order = await the_order(vault, TARGET.id)
    for done in (1, 2):
        vault.progress.take(job.id, OrderProgress(order.id, "accept", done, 3))
        clock.advance(10)
    now = clock.now() - timedelta(seconds=10)
    assert job_progress(vault, job) == Progress(2, 3, 0.1, now)
    clock.advance(21)
    assert job_progress(vault, job) == Progress(2, 3, None, now)


async def test_a_verification_shows_how_fast_it_compares(vault: Vault, clock: VirtualClock) -> None:
    protection = await protect(vault)
    job = await verify_protection(vault, BY_ANN, "web")
    await receive_outcome(vault, SOURCE.id, (await the_order(vault, SOURCE.id)).id, Done())
    job = await the_job(vault, job.id)
    for checked, rate in ((10, None), (30, 5.0)):
        verification = Verification(job.id, checked, 99, 0, is_finished=False, finished_at=None)
        vault.reports.take(
            ReplicationReport(
                protection.id,
                ReplicationState.REPLICATING,
                None,
                0,
                0,
                0.0,
                None,
                0,
                clock.now(),
                verification=verification,
            )
        )
        assert job_progress(vault, job) == Progress(checked, 99, rate, clock.now())
        clock.advance(4)
