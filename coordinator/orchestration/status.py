"""What operators see: stored state joined with what is known at this moment."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.domain.control import VaultMode
from coordinator.domain.health import (
    Health,
    HealthLevel,
    HostPresence,
    Observation,
    assess,
    lag,
    worst,
)
from coordinator.domain.hosts import Host, HostState
from coordinator.domain.identifiers import HostId
from coordinator.domain.jobs import Job, JobKind, JobState
from coordinator.domain.points import RecoveryPoint
from coordinator.domain.policies import Policy
from coordinator.domain.protections import Protection, ProtectionState
from coordinator.domain.rehearsals import Rehearsal
from coordinator.domain.replication import ReplicationReport
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records


@dataclass(frozen=True, slots=True)
class HostStatus:
    """A host as it is kept, and whether it is connected now."""

    host: Host
    is_connected: bool
    last_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class ProtectionStatus:
    """A protection with everything that is known of it now."""

    protection: Protection
    source: Host
    target: Host
    policy: Policy
    health: Health
    newest_point: RecoveryPoint | None
    lag: timedelta | None
    report: ReplicationReport | None
    rehearsal: Rehearsal | None


@dataclass(frozen=True, slots=True)
class VaultStatus:
    """The whole vault at one moment."""

    now: datetime
    mode: VaultMode
    health: HealthLevel
    hosts: tuple[HostStatus, ...]
    protections: tuple[ProtectionStatus, ...]
    jobs_running: int


def host_status(vault: Vault, host: Host) -> HostStatus:
    """Return a host with what is known of it now."""
    seen = vault.presence.last_seen_at(host.id) or host.last_seen_at
    return HostStatus(host, vault.presence.is_connected(host.id), seen)


async def protection_statuses(
    vault: Vault, records: Records, found: Iterable[Protection]
) -> tuple[ProtectionStatus, ...]:
    """Return these protections with what is known of them now."""
    protections = tuple(found)
    newest = await records.points.newest_of(protections)
    rehearsals = await records.last_rehearsals_of(protections)
    hosts = {host.id: host for host in await records.hosts.all()}
    policies = {policy.id: policy for policy in await records.policies.all()}
    return tuple(
        _status(
            vault,
            protection,
            hosts,
            policies[protection.policy_id],
            newest=newest.get(protection.id),
            rehearsal=rehearsals.get(protection.id),
        )
        for protection in protections
    )


async def protection_status(vault: Vault, records: Records, name: str) -> ProtectionStatus:
    """Return one protection by its machine's name or by id."""
    protection = await records.protections.get(name)
    hosts = {
        host_id: await records.hosts.get(host_id)
        for host_id in (protection.source_host_id, protection.target_host_id)
    }
    policy = await records.policies.get(protection.policy_id)
    newest = await records.points.newest(protection)
    rehearsal = await records.last_rehearsal(protection.id)
    return _status(vault, protection, hosts, policy, newest=newest, rehearsal=rehearsal)


async def vault_status(vault: Vault, records: Records) -> VaultStatus:
    """Return everything at once."""
    control = await records.control()
    hosts = tuple(
        host_status(vault, host)
        for host in await records.hosts.all()
        if host.state is not HostState.RETIRED
    )
    protections = await protection_statuses(vault, records, await records.protections.all())
    levels = [status.health.level for status in protections]
    levels += [_host_level(host) for host in hosts]
    if control.mode is VaultMode.RECONCILING:
        levels.append(HealthLevel.WARNING)
    running = await records.running_jobs()
    return VaultStatus(vault.clock.now(), control.mode, worst(levels), hosts, protections, running)


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of a long transfer is done, in bytes and bytes a second."""

    done_bytes: int
    total_bytes: int
    rate: float


def replication_progress(
    protection: Protection, report: ReplicationReport | None
) -> Progress | None:
    """Return how far initial replication or a resync is, None where nothing is known or it is over."""
    is_long = protection.state in (
        ProtectionState.ENABLING,
        ProtectionState.INITIAL_REPLICATION,
        ProtectionState.RESYNCHRONIZING,
    )
    if report is None or not is_long:
        return None
    return Progress(report.done_bytes, report.total_bytes, report.rate)


def job_progress(vault: Vault, job: Job) -> Progress | None:
    """Return how far a running job is, None where nothing is known."""
    if job.state is not JobState.RUNNING:
        return None
    progress = vault.progress.get(job.id)
    if progress is not None:
        return Progress(progress.done_bytes, progress.total_bytes, 0.0)
    report = vault.reports.get(job.protection_id)
    if report is None:
        return None
    if job.kind in (JobKind.ENABLE_PROTECTION, JobKind.RESYNC_PROTECTION):
        return Progress(report.done_bytes, report.total_bytes, report.rate)
    verification = report.verification
    if verification is not None and verification.verification_id == job.id:
        return Progress(verification.checked_bytes, verification.total_bytes, 0.0)
    return None


def _status(
    vault: Vault,
    protection: Protection,
    hosts: dict[HostId, Host],
    policy: Policy,
    *,
    newest: RecoveryPoint | None,
    rehearsal: Rehearsal | None,
) -> ProtectionStatus:
    now = vault.clock.now()
    source, target = hosts[protection.source_host_id], hosts[protection.target_host_id]
    report = vault.reports.get(protection.id)
    is_listed = vault.presence.is_connected(target.id)
    capture = _newest_capture(newest, None if is_listed else report)
    seen = Observation(
        _presence(vault, source),
        _presence(vault, target),
        policy.promised_rpo,
        capture,
        report,
    )
    return ProtectionStatus(
        protection,
        source,
        target,
        policy,
        assess(protection, seen, now),
        newest,
        lag(capture, now),
        report,
        rehearsal,
    )


def _presence(vault: Vault, host: Host) -> HostPresence:
    is_connected = vault.presence.is_connected(host.id)
    return HostPresence(host.name, is_connected, host.state, host.remedy)


def _newest_capture(
    newest: RecoveryPoint | None, report: ReplicationReport | None
) -> datetime | None:
    """Return the start of the newest capture that is known to be sealed.

    The target keeps the points: while it is there, its list decides. The source's report counts while it is away.
    """
    captures = [newest.capture_started_at] if newest is not None else []
    if report is not None and report.acknowledged_capture_started_at is not None:
        captures.append(report.acknowledged_capture_started_at)
    return max(captures, default=None)


def _host_level(status: HostStatus) -> HealthLevel:
    if status.host.state is HostState.QUARANTINED:
        return HealthLevel.CRITICAL
    is_well = status.is_connected and status.host.state is HostState.ACTIVE
    return HealthLevel.HEALTHY if is_well else HealthLevel.WARNING
