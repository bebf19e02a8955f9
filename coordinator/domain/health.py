"""Health and lag of a protection: never better than what is known.

What cannot be observed is unknown, not healthy. Lag counts from the start of the capture of the newest point that is
known to be sealed; real lag may be smaller, never larger.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from coordinator.domain.hosts import HostState
from coordinator.domain.protections import Protection, ProtectionState
from coordinator.domain.replication import ReplicationReport

CLOCK_TOLERANCE = timedelta(seconds=5)
"""By this much a source's clock may be ahead of the vault's before lag is called unknown."""

LAG_GRACE = timedelta(seconds=60)


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
    """What is known about a protection at one moment. `newest_capture` is that of the newest sealed point."""

    source: HostPresence
    target: HostPresence
    rpo_target: timedelta
    newest_capture: datetime | None
    report: ReplicationReport | None


def lag(newest_capture: datetime | None, now: datetime) -> timedelta | None:
    """Return how old the newest sealed state is, None where that cannot be told."""
    if newest_capture is None or newest_capture > now + CLOCK_TOLERANCE:
        return None
    return max(now - newest_capture, timedelta(0))


def assess(protection: Protection, seen: Observation, now: datetime) -> Health:
    """Return the health of a protection."""
    if protection.state in (ProtectionState.FAILED, ProtectionState.RESYNC_REQUIRED):
        return Health(HealthLevel.CRITICAL, protection.cause, protection.remedy)
    if protection.state is ProtectionState.DISABLING:
        return _disabling(protection)
    for host in (seen.source, seen.target):
        if host.state is not HostState.ACTIVE:
            return _distrusted(protection, host)
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
    age = lag(seen.newest_capture, now)
    if age is None:
        return _unknown_lag(seen)
    if age > seen.rpo_target + LAG_GRACE:
        cause = f"The newest recovery point is {age.total_seconds():.0f} s old."
        remedy = "Look at the agents of both hosts and the network between them."
        if failure is not None:
            cause, remedy = f"{cause} {failure.cause}", failure.remedy
        return Health(HealthLevel.CRITICAL, cause, remedy)
    warning = seen.report.warning if seen.report is not None else None
    trouble = failure or warning
    if trouble is not None:
        return Health(HealthLevel.WARNING, trouble.cause, trouble.remedy)
    if not seen.target.is_connected:
        return _disconnected(HealthLevel.WARNING, seen.target, "its points cannot be recovered now")
    return Health(HealthLevel.HEALTHY)


def _unknown_lag(seen: Observation) -> Health:
    if seen.newest_capture is None:
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
        "Start its agent and check the network between it and the vault.",
    )
