"""How far long work is: only what was measured, and what is measured still."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.domain.jobs import Job, JobKind, JobState
from coordinator.domain.protections import Protection, ProtectionState
from coordinator.domain.replication import ReplicationReport
from coordinator.orchestration.vault import Vault

FRESH = timedelta(seconds=30)
"""How old a report may be for its rate to count: a source that moves data reports every few seconds."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How much is done, in bytes, and when that was told. `rate` in bytes a second, None where none is measured."""

    done_bytes: int
    total_bytes: int
    rate: float | None
    reported_at: datetime


def replication_progress(vault: Vault, protection: Protection) -> Progress | None:
    """Return how far initial replication or a resync is, None where nothing is known or it is over."""
    is_long = protection.state in (
        ProtectionState.ENABLING,
        ProtectionState.INITIAL_REPLICATION,
        ProtectionState.RESYNCHRONIZING,
    )
    report = vault.reports.get(protection.id)
    return _of_transfer(vault, report) if report is not None and is_long else None


def job_progress(vault: Vault, job: Job) -> Progress | None:
    """Return how far a running job is, None where nothing is known."""
    if job.state is not JobState.RUNNING:
        return None
    if (told := vault.progress.get(job.id)) is not None:
        rate = told.rate if vault.clock.now() - told.told_at <= FRESH else None
        return Progress(told.done_bytes, told.total_bytes, rate, told.told_at)
    report = vault.reports.get(job.protection_id)
    if report is None:
        return None
    if job.kind in (JobKind.ENABLE_PROTECTION, JobKind.RESYNC_PROTECTION):
        return _of_transfer(vault, report)
    verification = report.verification
    if verification is None or verification.verification_id != job.id:
        return None
    rate = (
        vault.reports.verification_rate(report.protection_id) if _is_fresh(vault, report) else None
    )
    return Progress(verification.checked_bytes, verification.total_bytes, rate, report.reported_at)


def _of_transfer(vault: Vault, report: ReplicationReport) -> Progress:
    rate = max(0.0, report.rate) if _is_fresh(vault, report) else None
    return Progress(report.done_bytes, report.total_bytes, rate, report.reported_at)


def _is_fresh(vault: Vault, report: ReplicationReport) -> bool:
    return vault.clock.now() - report.reported_at <= FRESH
