from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain.commands import Command
from coordinator.domain.compression import Compression
from coordinator.domain.errors import DomainError
from coordinator.domain.health import Health
from coordinator.domain.job_results import VerifiedReplica
from coordinator.domain.jobs import Job
from coordinator.domain.orders import (
    AcceptReplica,
    Done,
    Failure,
    Outcome,
    ReplicaAccepted,
    ResyncReplication,
    StartReplication,
    VerifyReplication,
    Withdrawn,
)
from coordinator.domain.policy_settings import PolicySettings
from coordinator.domain.replication import ReplicationReport, ReplicationState, Verification
from coordinator.orchestration import protection_changes as changes
from coordinator.orchestration.catalogue import create_policy, update_policy
from coordinator.orchestration.host_messages import receive_replication
from coordinator.orchestration.jobs import cancel_job
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.points import selected_point
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.status import protection_status
from coordinator.orchestration.trust import revoke_host
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import (
    BY_ANN,
    equip,
    open_orders,
    protect,
    report,
    the_job,
    the_order,
    the_protection,
)

Change = Callable[[Vault, Command, str], Awaitable[Job]]
FAILURE = Failure("state-file", "The state file cannot be written.", "Free space.")
DIFFERS = Failure("verify-failed", "Disk 1 differs at 4096.", "Resynchronize it.")


DONE = Done()


async def answer(vault: Vault, outcome: Outcome = DONE) -> None:
    order = await the_order(vault, SOURCE.id)
    await receive_outcome(vault, SOURCE.id, order.id, outcome)


async def say(
    vault: Vault,
    state: ReplicationState,
    failure: Failure | None = None,
    verification: Verification | None = None,
) -> None:
    protection = await the_protection(vault)
    report = ReplicationReport(
        protection.id,
        state,
        failure,
        1,
        2,
        3.0,
        None,
        1,
        vault.clock.now(),
        verification=verification,
    )
    await receive_replication(vault, SOURCE.id, report)


async def refusal(vault: Vault, change: Change) -> str:
    with pytest.raises(DomainError) as caught:
        await change(vault, BY_ANN, "web")
    return caught.value.code


async def require_resync(vault: Vault) -> None:
    await protect(vault)
    await say(vault, ReplicationState.RESYNC_REQUIRED, DIFFERS)
    assert (await the_protection(vault)).state == "resync-required"


async def test_a_pause_ends_with_a_resume_and_no_resync(vault: Vault) -> None:
    await protect(vault)
    pausing = await changes.pause_protection(vault, BY_ANN, "web")
    order = await the_order(vault, SOURCE.id)
    assert isinstance(order.action, StartReplication)
    assert order.action.is_paused
    assert (await the_protection(vault)).state == "protected"
    await answer(vault)
    assert (await the_protection(vault)).state == "paused"
    assert (await the_job(vault, pausing.id)).state == "succeeded"
    assert await refusal(vault, changes.pause_protection) == "already-paused"
    await changes.resume_protection(vault, BY_ANN, "web")
    order = await the_order(vault, SOURCE.id)
    assert isinstance(order.action, StartReplication)
    assert not order.action.is_paused
    await answer(vault)
    assert (await the_protection(vault)).state == "protected"
    assert await refusal(vault, changes.resume_protection) == "not-paused"


async def test_a_pause_that_the_source_refuses_is_not_wanted_any_more(vault: Vault) -> None:
    await protect(vault)
    pausing = await changes.pause_protection(vault, BY_ANN, "web")
    await answer(vault, FAILURE)
    protection = await the_protection(vault)
    assert (protection.state, protection.is_paused) == ("protected", False)
    assert (await the_job(vault, pausing.id)).cause == FAILURE.cause


async def test_a_resume_right_after_a_pause_wins(vault: Vault) -> None:
    await protect(vault)
    await changes.pause_protection(vault, BY_ANN, "web")
    await changes.resume_protection(vault, BY_ANN, "web")
    for order in await open_orders(vault, SOURCE.id):
        await receive_outcome(vault, SOURCE.id, order.id, Done())
    protection = await the_protection(vault)
    assert (protection.state, protection.is_paused) == ("protected", False)


async def test_a_cancelled_pause_leaves_nothing(vault: Vault) -> None:
    await protect(vault)
    job = await changes.pause_protection(vault, BY_ANN, "web")
    await cancel_job(vault, BY_ANN, job.id)
    order = await the_order(vault, SOURCE.id)
    await receive_outcome(vault, SOURCE.id, order.id, Withdrawn())
    assert not (await the_protection(vault)).is_paused
    assert (await the_job(vault, job.id)).state == "cancelled"


async def test_a_changed_policy_is_told_to_the_target_and_then_to_the_source(vault: Vault) -> None:
    await protect(vault)

    def change(settings: PolicySettings) -> PolicySettings:
        return replace(settings, retention=timedelta(hours=2), compression=Compression.ZSTD)

    update = await update_policy(vault, BY_ANN, "quick", change)
    (job_id,) = update.job_ids
    order = await the_order(vault, TARGET.id)
    assert isinstance(order.action, AcceptReplica)
    assert order.action.retention == timedelta(hours=2)
    await receive_outcome(vault, TARGET.id, order.id, ReplicaAccepted("/replicas/web"))
    told = await the_order(vault, SOURCE.id)
    assert isinstance(told.action, StartReplication)
    assert told.action.compression is Compression.ZSTD
    await answer(vault)
    assert (await the_job(vault, job_id)).state == "succeeded"
    protection = await the_protection(vault)
    assert (protection.state, protection.replica_path) == ("protected", "/replicas/web")
    assert (await update_policy(vault, BY_ANN, "quick", change)).job_ids == ()


async def test_a_protection_may_follow_another_policy(vault: Vault) -> None:
    await protect(vault)
    settings = PolicySettings(timedelta(minutes=1), timedelta(hours=3))
    slow = await create_policy(vault, BY_ANN, "slow", settings)
    await changes.change_policy(vault, BY_ANN, "web", "slow")
    assert (await the_protection(vault)).policy_id == slow.id
    order = await the_order(vault, TARGET.id)
    assert isinstance(order.action, AcceptReplica)
    assert order.action.retention == timedelta(hours=3)


async def test_a_resync_ends_when_its_source_replicates_again(vault: Vault) -> None:
    await require_resync(vault)
    job = await changes.resync_protection(vault, BY_ANN, "web")
    order = await the_order(vault, SOURCE.id)
    assert order.action == ResyncReplication((await the_protection(vault)).id)
    assert await refusal(vault, changes.resync_protection) == "resync-running"
    await answer(vault)
    await say(vault, ReplicationState.RESYNCHRONIZING)
    assert (await the_protection(vault)).state == "resynchronizing"
    assert (await the_job(vault, job.id)).state == "running"
    await say(vault, ReplicationState.REPLICATING)
    protection = await the_protection(vault)
    assert (protection.state, protection.cause) == ("protected", None)
    assert (await the_job(vault, job.id)).state == "succeeded"


async def test_a_resync_that_finds_no_way_is_required_still(vault: Vault) -> None:
    await require_resync(vault)
    job = await changes.resync_protection(vault, BY_ANN, "web")
    await answer(vault, FAILURE)
    protection = await the_protection(vault)
    # What it needs is told still, not why it was not given.
    assert (protection.state, protection.cause) == ("resync-required", DIFFERS.cause)
    assert (await the_job(vault, job.id)).state == "failed"
    second = await changes.resync_protection(vault, BY_ANN, "web")
    await answer(vault)
    await say(vault, ReplicationState.RESYNCHRONIZING)
    await say(vault, ReplicationState.RESYNC_REQUIRED, DIFFERS)
    assert (await the_protection(vault)).state == "resync-required"
    assert (await the_job(vault, second.id)).state == "failed"


async def test_what_is_equal_needs_no_resync(vault: Vault) -> None:
    await protect(vault)
    assert await refusal(vault, changes.resync_protection) == "no-resync-required"


async def test_a_verification_ends_with_what_was_compared(vault: Vault) -> None:
    protection = await protect(vault)
    job = await changes.verify_protection(vault, BY_ANN, "web")
    order = await the_order(vault, SOURCE.id)
    assert order.action == VerifyReplication(protection.id, job.id)
    assert await refusal(vault, changes.verify_protection) == "verification-running"
    await answer(vault)
    halfway = Verification(job.id, 5, 10, 0, is_finished=False, finished_at=None)
    await say(vault, ReplicationState.REPLICATING, verification=halfway)
    other = Verification("other", 10, 10, 0, is_finished=True, finished_at=vault.clock.now())
    await say(vault, ReplicationState.REPLICATING, verification=other)
    assert (await the_job(vault, job.id)).state == "running"
    ended = replace(other, verification_id=job.id)
    await say(vault, ReplicationState.REPLICATING, verification=ended)
    done = await the_job(vault, job.id)
    assert (done.state, done.result) == ("succeeded", VerifiedReplica(10, 0))


async def test_a_verification_that_finds_a_difference_has_failed(vault: Vault) -> None:
    await protect(vault)
    job = await changes.verify_protection(vault, BY_ANN, "web")
    ended = Verification(job.id, 9, 10, 1, is_finished=True, finished_at=vault.clock.now())
    # The report overtakes the outcome of the order.
    await say(vault, ReplicationState.RESYNC_REQUIRED, DIFFERS, ended)
    assert (await the_job(vault, job.id)).state == "failed"
    assert (await the_protection(vault)).state == "resync-required"


async def test_a_job_that_waits_for_a_report_ends_when_its_host_is_revoked(vault: Vault) -> None:
    await protect(vault)
    job = await changes.verify_protection(vault, BY_ANN, "web")
    await answer(vault)
    await revoke_host(vault, BY_ANN, "a1", "stolen")
    ended = await the_job(vault, job.id)
    assert (ended.state, "revoked" in (ended.cause or "")) == ("failed", True)
    assert await refusal(vault, changes.pause_protection) == "host-revoked"


def longer(settings: PolicySettings) -> PolicySettings:
    return replace(settings, retention=timedelta(hours=48))


async def health_of(vault: Vault) -> Health:
    async with vault.store.read() as records:
        return (await protection_status(vault, records, "web")).health


async def kept_until(vault: Vault) -> timedelta:
    """Return for how long a point that is not the newest is said to be kept."""
    await report(vault, 1, 2)
    async with vault.store.read() as records:
        found = await selected_point(records, "web", "1")
    assert found.retained_until is not None
    return found.retained_until - found.point.sealed_at


async def test_what_is_being_enabled_hears_of_a_changed_policy_when_it_has_begun(
    vault: Vault,
) -> None:
    await equip(vault)
    await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    update = await update_policy(vault, BY_ANN, "quick", longer)
    assert update.job_ids == ()
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, Done())
    assert await open_orders(vault, TARGET.id) == ()
    await answer(vault)
    told = (await the_order(vault, TARGET.id)).action
    assert isinstance(told, AcceptReplica)
    assert told.retention == timedelta(hours=48)


async def test_an_enabling_that_is_cancelled_leaves_nothing_whatever_was_changed_meanwhile(
    vault: Vault,
) -> None:
    await equip(vault)
    job = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    await update_policy(vault, BY_ANN, "quick", longer)
    await cancel_job(vault, BY_ANN, job.id)
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, Withdrawn())
    assert await open_orders(vault, TARGET.id) == ()
    async with vault.store.read() as records:
        assert await records.protections.all() == ()
        assert await records.running_jobs() == 0


async def test_a_cancelled_resume_leaves_the_pause_that_the_source_confirmed(vault: Vault) -> None:
    await protect(vault)
    await changes.pause_protection(vault, BY_ANN, "web")
    resuming = await changes.resume_protection(vault, BY_ANN, "web")
    await cancel_job(vault, BY_ANN, resuming.id)
    pause, resume = await open_orders(vault, SOURCE.id)
    await receive_outcome(vault, SOURCE.id, pause.id, Done())
    await receive_outcome(vault, SOURCE.id, resume.id, Withdrawn())
    protection = await the_protection(vault)
    assert (protection.state, protection.is_paused) == ("paused", True)
    await changes.resume_protection(vault, BY_ANN, "web")


async def test_a_failed_resume_leaves_paused_what_requires_a_resync(vault: Vault) -> None:
    await protect(vault)
    await changes.pause_protection(vault, BY_ANN, "web")
    await answer(vault)
    await say(vault, ReplicationState.RESYNC_REQUIRED, DIFFERS)
    await changes.resume_protection(vault, BY_ANN, "web")
    await answer(vault, FAILURE)
    protection = await the_protection(vault)
    assert (protection.state, protection.is_paused) == ("resync-required", True)
    assert await refusal(vault, changes.resync_protection) == "protection-paused"


async def test_a_pause_that_fails_leaves_the_resume_that_follows_it(vault: Vault) -> None:
    await protect(vault)
    await changes.pause_protection(vault, BY_ANN, "web")
    await changes.resume_protection(vault, BY_ANN, "web")
    pause, resume = await open_orders(vault, SOURCE.id)
    await receive_outcome(vault, SOURCE.id, pause.id, FAILURE)
    await receive_outcome(vault, SOURCE.id, resume.id, FAILURE)
    protection = await the_protection(vault)
    assert (protection.state, protection.is_paused) == ("protected", False)


async def test_a_wish_that_is_taken_back_leaves_the_newest_of_the_others(vault: Vault) -> None:
    await protect(vault)
    await changes.pause_protection(vault, BY_ANN, "web")
    resuming = await changes.resume_protection(vault, BY_ANN, "web")
    await changes.pause_protection(vault, BY_ANN, "web")
    await cancel_job(vault, BY_ANN, resuming.id)
    _, resume, _ = await open_orders(vault, SOURCE.id)
    await receive_outcome(vault, SOURCE.id, resume.id, Withdrawn())
    assert (await the_protection(vault)).is_paused


async def test_settings_of_before_a_pause_pause_nothing(vault: Vault) -> None:
    await protect(vault)
    await update_policy(vault, BY_ANN, "quick", longer)
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, Done())
    await changes.pause_protection(vault, BY_ANN, "web")
    settings, pause = await open_orders(vault, SOURCE.id)
    await receive_outcome(vault, SOURCE.id, settings.id, Done())
    assert (await the_protection(vault)).state == "protected"
    await receive_outcome(vault, SOURCE.id, pause.id, FAILURE)
    protection = await the_protection(vault)
    assert (protection.state, protection.is_paused) == ("protected", False)


async def test_a_longer_retention_counts_when_the_target_has_confirmed_it(vault: Vault) -> None:
    await protect(vault)
    assert await kept_until(vault) == timedelta(hours=1)
    await update_policy(vault, BY_ANN, "quick", longer)
    assert await kept_until(vault) == timedelta(hours=1)
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, Done())
    assert await kept_until(vault) == timedelta(hours=48)


async def test_a_shorter_retention_counts_at_once(vault: Vault) -> None:
    await protect(vault)
    await update_policy(vault, BY_ANN, "quick", longer)
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, Done())
    await answer(vault)

    def shorter(settings: PolicySettings) -> PolicySettings:
        return replace(settings, retention=timedelta(hours=2))

    await update_policy(vault, BY_ANN, "quick", shorter)
    assert await kept_until(vault) == timedelta(hours=2)


async def test_a_policy_that_a_host_did_not_take_is_told_until_it_is_sent_again(
    vault: Vault,
) -> None:
    vault.presence.begin(SOURCE.id)
    vault.presence.begin(TARGET.id)
    await protect(vault)
    now = vault.clock.now()
    await report(vault, 2, capture_started_at=now, capture_ended_at=now)
    assert (await health_of(vault)).level == "healthy"
    await update_policy(vault, BY_ANN, "quick", longer)
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, FAILURE)
    health = await health_of(vault)
    assert health.level == "warning"
    assert health.remedy is not None
    assert "replikera protection update web --policy quick" in health.remedy
    await changes.change_policy(vault, BY_ANN, "web", "quick")
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, Done())
    await answer(vault)
    assert (await health_of(vault)).level == "healthy"


async def test_hosts_that_nobody_trusts_are_not_told_of_a_changed_policy(vault: Vault) -> None:
    await protect(vault)
    await revoke_host(vault, BY_ANN, TARGET.id, "")
    update = await update_policy(vault, BY_ANN, "quick", longer)
    assert update.job_ids == ()
    with pytest.raises(DomainError) as caught:
        await changes.change_policy(vault, BY_ANN, "web", "quick")
    assert caught.value.code == "host-revoked"


async def verifying(vault: Vault) -> Job:
    """Return the job of a verification that the source has begun."""
    await protect(vault)
    job = await changes.verify_protection(vault, BY_ANN, "web")
    await answer(vault)
    return await the_job(vault, job.id)


async def test_a_verification_that_runs_can_be_called_off(vault: Vault) -> None:
    job = await verifying(vault)
    assert job.allowed_actions == ("cancel",)
    await cancel_job(vault, BY_ANN, job.id)
    order = await the_order(vault, SOURCE.id)
    assert order.action == VerifyReplication((await the_protection(vault)).id, "")
    assert (await the_job(vault, job.id)).state == "running"
    await cancel_job(vault, BY_ANN, job.id)
    await answer(vault)
    ended = await the_job(vault, job.id)
    assert ended.state == "cancelled"
    assert ended.cause is not None
    assert "the rest is not known" in ended.cause
    await changes.verify_protection(vault, BY_ANN, "web")


async def test_a_verification_that_could_not_be_called_off_goes_on(vault: Vault) -> None:
    job = await verifying(vault)
    await cancel_job(vault, BY_ANN, job.id)
    await answer(vault, FAILURE)
    again = await the_job(vault, job.id)
    assert (again.state, again.allowed_actions) == ("running", ("cancel",))


async def test_a_verification_that_ended_first_has_ended(vault: Vault) -> None:
    job = await verifying(vault)
    await cancel_job(vault, BY_ANN, job.id)
    whole = Verification(job.id, 9, 9, 0, is_finished=True, finished_at=vault.clock.now())
    await say(vault, ReplicationState.REPLICATING, verification=whole)
    await answer(vault)
    assert (await the_job(vault, job.id)).state == "succeeded"
