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
    worst,
)
from coordinator.domain.hosts import Host, HostState
from coordinator.domain.identifiers import HostId, ProtectionId
from coordinator.domain.lag import NewestState, lag
from coordinator.domain.points import RecoveryPoint
from coordinator.domain.policies import Policy
from coordinator.domain.protections import Protection
from coordinator.domain.readiness import Readiness, readiness
from coordinator.domain.rehearsals import Rehearsal
from coordinator.domain.replication import ReplicationReport
from coordinator.domain.settings_health import with_settings
from coordinator.orchestration.progress import Progress, replication_progress
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
    """A protection with everything that is known of it now; `last_success` is the test failover that proved it last."""

    protection: Protection
    source: Host
    target: Host
    policy: Policy
    health: Health
    newest_point: RecoveryPoint | None
    lag: timedelta | None
    report: ReplicationReport | None
    rehearsal: Rehearsal | None
    progress: Progress | None
    readiness: Readiness
    last_success: Rehearsal | None


@dataclass(frozen=True, slots=True)
class _Tests:
    """The newest test failover of a protection, and the newest that was successful."""

    last: Rehearsal | None
    last_success: Rehearsal | None


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
    tests = await _tests_of(records, protections)
    hosts = {host.id: host for host in await records.hosts.all()}
    policies = {policy.id: policy for policy in await records.policies.all()}
    return tuple(
        _status(
            vault,
            protection,
            hosts,
            policies[protection.policy_id],
            newest=newest.get(protection.id),
            tests=tests[protection.id],
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
    tests = await _tests_of(records, (protection,))
    return _status(vault, protection, hosts, policy, newest=newest, tests=tests[protection.id])


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


def _status(
    vault: Vault,
    protection: Protection,
    hosts: dict[HostId, Host],
    policy: Policy,
    *,
    newest: RecoveryPoint | None,
    tests: _Tests,
) -> ProtectionStatus:
    now = vault.clock.now()
    source, target = hosts[protection.source_host_id], hosts[protection.target_host_id]
    report = vault.reports.get(protection.id)
    there = _presence(vault, target)
    state = _newest_state(newest, None if there.is_connected else report)
    seen = Observation(
        _presence(vault, source),
        there,
        policy.promised_rpo,
        state,
        report,
    )
    return ProtectionStatus(
        protection,
        source,
        target,
        policy,
        with_settings(assess(protection, seen, now), protection, target, policy),
        newest,
        lag(state, now),
        report,
        tests.last,
        replication_progress(vault, protection),
        readiness(
            protection,
            there,
            newest,
            now,
            has_told=vault.presence.has_told(target.id, protection.id),
            is_reconciling=vault.reconciliation.is_reconciling,
        ),
        tests.last_success,
    )


async def _tests_of(
    records: Records, protections: tuple[Protection, ...]
) -> dict[ProtectionId, _Tests]:
    last = await records.last_rehearsals_of(protections)
    successes = await records.last_successes_of(protections)
    return {item.id: _Tests(last.get(item.id), successes.get(item.id)) for item in protections}


def _presence(vault: Vault, host: Host) -> HostPresence:
    is_connected = vault.presence.is_connected(host.id)
    return HostPresence(host.name, is_connected, host.state, host.remedy)


def _newest_state(
    newest: RecoveryPoint | None, report: ReplicationReport | None
) -> NewestState | None:
    """Return the newest state that is known to be sealed.

    The target keeps the points: while it is there, its list decides. The source's report counts while it is away.
    """
    states = [newest.state] if newest is not None else []
    if report is not None and report.acknowledged_capture_started_at is not None:
        captured = report.acknowledged_capture_started_at
        states.append(NewestState(captured, report.acknowledged_heard_at))
    return max(states, key=lambda state: state.captured_at, default=None)


def _host_level(status: HostStatus) -> HealthLevel:
    if status.host.state is HostState.QUARANTINED:
        return HealthLevel.CRITICAL
    is_well = status.is_connected and status.host.state is HostState.ACTIVE
    return HealthLevel.HEALTHY if is_well else HealthLevel.WARNING
