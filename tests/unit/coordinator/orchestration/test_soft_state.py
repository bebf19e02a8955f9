from dataclasses import replace
from datetime import timedelta

from coordinator.domain.identifiers import HostId, JobId, OrderId, ProtectionId
from coordinator.domain.orders import Failure, OrderProgress
from coordinator.domain.replication import ReplicationReport, ReplicationState, Verification
from coordinator.orchestration.soft_state import (
    KEEP_EVERY,
    LATE_SECONDS,
    AverageRate,
    JobProgress,
    Replacements,
    ReplicationReports,
    ToldProgress,
)
from coordinator.orchestration.vault import Vault
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.examples import NOW
from tests.unit.coordinator.vaults import protect

REPORT = ReplicationReport(
    ProtectionId("p"), ReplicationState.REPLICATING, None, 1, 2, 3.0, None, 0, NOW
)


def test_the_newest_report_is_known_and_the_store_gets_it_now_and_then() -> None:
    reports = ReplicationReports()
    assert reports.get(REPORT.protection_id) is None
    assert reports.take(REPORT)
    reports.kept(REPORT)
    soon = replace(REPORT, done_bytes=2, reported_at=NOW + KEEP_EVERY - timedelta(seconds=1))
    assert not reports.take(soon)
    assert reports.get(REPORT.protection_id) == soon
    assert reports.take(replace(soon, reported_at=NOW + KEEP_EVERY))


def test_what_an_operator_would_act_on_is_kept_at_once() -> None:
    reports = ReplicationReports()
    reports.kept(REPORT)
    assert reports.take(replace(REPORT, state=ReplicationState.WAITING))
    assert reports.take(replace(REPORT, failure=Failure("a", "b", "c")))


def test_a_report_that_was_not_stored_is_due_again() -> None:
    reports = ReplicationReports()
    assert reports.take(REPORT)
    assert reports.take(REPORT)


async def test_what_was_kept_is_known_after_a_restart(vault: Vault) -> None:
    protection = await protect(vault)
    kept = replace(REPORT, protection_id=protection.id)
    async with vault.store.write() as records:
        await records.save_report(kept)
    reports = ReplicationReports()
    await reports.load(vault.store)
    assert reports.get(protection.id) == kept
    assert not reports.take(kept)


def test_a_source_is_trusted_for_its_protection_only() -> None:
    reports = ReplicationReports()
    reports.trust_source(ProtectionId("p"), HostId("a"))
    assert reports.is_source(ProtectionId("p"), HostId("a"))
    assert not reports.is_source(ProtectionId("p"), HostId("b"))
    assert not reports.is_source(ProtectionId("q"), HostId("a"))


def test_progress_lives_as_long_as_the_order(clock: VirtualClock) -> None:
    progress, job = JobProgress(clock), JobId("j")
    step = OrderProgress(OrderId("o"), "recover", 1, 2)
    progress.take(job, step)
    assert progress.get(job) == ToldProgress(1, 2, None, clock.now())
    progress.forget(job)
    progress.forget(job)
    assert progress.get(job) is None


def test_a_rate_is_measured_from_the_first_that_was_told(clock: VirtualClock) -> None:
    rate = AverageRate()
    assert rate.after(100, clock.now()) is None
    clock.advance(4)
    assert rate.after(120, clock.now()) == 5
    clock.advance(4)
    assert rate.after(120, clock.now()) == 2.5
    assert rate.after(0, clock.now()) is None, "it began anew"


def test_a_verification_is_measured_while_it_runs(clock: VirtualClock) -> None:
    reports = ReplicationReports()

    def told(checked: int, *, is_finished: bool = False) -> float | None:
        of_it = Verification("v", checked, 100, 0, is_finished, None)
        reports.take(replace(REPORT, reported_at=clock.now(), verification=of_it))
        clock.advance(2)
        return reports.verification_rate(REPORT.protection_id)

    assert [told(0), told(10), told(30)] == [None, 5.0, 7.5]
    assert told(100, is_finished=True) is None


def test_a_certificate_was_replaced_lately_for_a_minute(clock: VirtualClock) -> None:
    replacements = Replacements(clock)
    assert not replacements.is_recent("a")
    replacements.note(["a"])
    clock.advance(LATE_SECONDS - 1)
    replacements.note(["b"])
    assert replacements.is_recent("a")
    clock.advance(1)
    assert not replacements.is_recent("a")
    assert replacements.is_recent("b")
    replacements.note([])
    assert list(replacements._at) == ["b"]
