"""Health and lag of a protection: never better than what is known.

What cannot be observed is unknown, not healthy. But a promise that is broken for certain is broken whether or not the
source can be observed now.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from coordinator.domain.hosts import HostState
from coordinator.domain.lag import NewestState, age_at_least, lag
from coordinator.domain.protections import Protection, ProtectionState
from coordinator.domain.replication import ReplicationReport

_LOOK = "Look at the agents of both hosts and the network between them."
_START = "Start its agent and check the network between it and the vault."
_LEAST_GRACE = timedelta(seconds=5)


class HealthLevel(StrEnum):
    """How well something is, the worst last but for what is not known."""

    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"
    NOT_APPLICABLE = "not-applicable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Health:
    """A level with its cause and remedy; both are empty for healthy and not applicable."""

    level: HealthLevel
    cause: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class HostPresence:
    """A host of a protection: whether it is connected now, and whether it is trusted; `remedy` is about the latter."""

    name: str
    is_connected: bool
    state: HostState = HostState.ACTIVE
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known about a protection at one moment."""

    source: HostPresence
    target: HostPresence
    rpo_target: timedelta
    newest: NewestState | None
    report: ReplicationReport | None


def assess(protection: Protection, seen: Observation, now: datetime) -> Health:
    """Return the health of a protection."""
    if protection.state in (ProtectionState.FAILED, ProtectionState.RESYNC_REQUIRED):
        return Health(HealthLevel.CRITICAL, protection.cause, protection.remedy)
    if protection.state is ProtectionState.DISABLING:
        return _disabling(protection)
    for host in (seen.source, seen.target):
        if host.state is not HostState.ACTIVE:
            return _distrusted(protection, host)
    if protection.state is ProtectionState.PROTECTED and (broken := _broken_promise(seen, now)):
        return broken
    if not seen.source.is_connected:
        return _disconnected(HealthLevel.UNKNOWN, seen.source, "replication cannot be observed")
    return _assess_running(protection, seen, now)


def _assess_running(protection: Protection, seen: Observation, now: datetime) -> Health:
    match protection.state:
        case ProtectionState.PROTECTED:
            return _assess_lag(seen, now)
        case ProtectionState.PAUSED:
            return _paused(protection)
        case ProtectionState.RESYNCHRONIZING:
            return _resynchronizing(seen)
        case _:
            return _assess_start(seen)


def _disabling(protection: Protection) -> Health:
    if protection.cause is None:
        return Health(HealthLevel.NOT_APPLICABLE)
    return Health(HealthLevel.WARNING, protection.cause, protection.remedy)


def _paused(protection: Protection) -> Health:
    return Health(
        HealthLevel.WARNING,
        "Replication is paused: no new recovery points are made.",
        f"Resume it: replikera protection resume {protection.machine_name}.",
    )


def _resynchronizing(seen: Observation) -> Health:
    failure = seen.report.failure if seen.report is not None else None
    if failure is not None:
        return Health(HealthLevel.WARNING, failure.cause, failure.remedy)
    return Health(
        HealthLevel.WARNING,
        "Source and replica are being compared: no new recovery point until they are equal.",
        "Wait for the resync; older points can be recovered.",
    )


def _distrusted(protection: Protection, host: HostPresence) -> Health:
    is_protected = protection.state is ProtectionState.PROTECTED
    return Health(
        HealthLevel.CRITICAL if is_protected else HealthLevel.WARNING,
        f"Host {host.name} is {host.state}: nothing is replicated, the points that are there stay.",
        host.remedy or f"Readmit it: replikera host readmit {host.name}.",
    )


def worst(levels: list[HealthLevel]) -> HealthLevel:
    """Return the level that describes them all."""
    for level in (HealthLevel.CRITICAL, HealthLevel.WARNING, HealthLevel.UNKNOWN):
        if level in levels:
            return level
    return HealthLevel.HEALTHY if HealthLevel.HEALTHY in levels else HealthLevel.NOT_APPLICABLE


def _assess_start(seen: Observation) -> Health:
    """Before the first point there is no promise to keep, only trouble to tell."""
    failure = seen.report.failure if seen.report is not None else None
    if failure is not None:
        return Health(HealthLevel.WARNING, failure.cause, failure.remedy)
    if not seen.target.is_connected:
        return _disconnected(HealthLevel.WARNING, seen.target, "initial replication waits for it")
    return Health(HealthLevel.NOT_APPLICABLE)


def _assess_lag(seen: Observation, now: datetime) -> Health:
    failure = seen.report.failure if seen.report is not None else None
    age = lag(seen.newest, now)
    if age is None:
        return _unknown_lag(seen)
    warning = seen.report.warning if seen.report is not None else None
    trouble = failure or warning
    if trouble is not None:
        return Health(HealthLevel.WARNING, trouble.cause, trouble.remedy)
    if not seen.target.is_connected:
        return _disconnected(HealthLevel.WARNING, seen.target, "its points cannot be recovered now")
    if age > seen.rpo_target:
        return Health(
            HealthLevel.WARNING,
            f"The newest recovery point is {age.total_seconds():.0f} s old: older than was promised.",
            _LOOK,
        )
    return Health(HealthLevel.HEALTHY)


def grace(rpo_target: timedelta) -> timedelta:
    """Return for how long a late point is a warning before it is critical."""
    return max(_LEAST_GRACE, rpo_target / 2)


def critical_lag(rpo_target: timedelta) -> timedelta:
    """Return the lag above which the promise is broken for certain."""
    return rpo_target + grace(rpo_target)


def _broken_promise(seen: Observation, now: datetime) -> Health | None:
    """Return what it means that the newest point is far older than was promised, None where that is not certain."""
    if seen.newest is None:
        return None
    age = lag(seen.newest, now) or age_at_least(seen.newest, now)
    if age <= critical_lag(seen.rpo_target):
        return None
    failure = seen.report.failure if seen.report is not None else None
    cause, remedy = f"The newest recovery point is {age.total_seconds():.0f} s old.", _LOOK
    away = next((host for host in (seen.source, seen.target) if not host.is_connected), None)
    if away is not None and (failure is None or away is seen.source):
        cause, remedy = f"{cause} Host {away.name} is not connected.", _START
    elif failure is not None:
        cause, remedy = f"{cause} {failure.cause}", failure.remedy
    return Health(HealthLevel.CRITICAL, cause, remedy)


def _unknown_lag(seen: Observation) -> Health:
    if seen.newest is None:
        return Health(
            HealthLevel.CRITICAL,
            f"Host {seen.target.name} reports no recovery point.",
            "Examine the volume that holds its replicas.",
        )
    return Health(
        HealthLevel.UNKNOWN,
        f"The clock of host {seen.source.name} is ahead of the vault's: lag cannot be measured.",
        "Synchronise the clocks of the host and the vault.",
    )


def _disconnected(level: HealthLevel, host: HostPresence, so: str) -> Health:
    return Health(
        level,
        f"Host {host.name} is not connected: {so}.",
        _START,
    )
