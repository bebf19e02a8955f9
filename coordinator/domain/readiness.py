"""Whether a machine could be failed over now, as far as the vault knows, and never more than that.

What an earlier moment showed is no answer: while the target is away, nobody can tell whether its points can be read.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from coordinator.domain.health import HostPresence
from coordinator.domain.hosts import HostState
from coordinator.domain.lag import lag
from coordinator.domain.points import RecoveryPoint
from coordinator.domain.protections import Protection, ProtectionState


class Verdict(StrEnum):
    """Whether a machine could be failed over now."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Readiness:
    """A verdict and its reason; `point_age` is that of the newest point, None where it cannot be told or used."""

    verdict: Verdict
    reason: str
    point_age: timedelta | None = None


def readiness(
    protection: Protection,
    target: HostPresence,
    newest: RecoveryPoint | None,
    now: datetime,
    *,
    has_told: bool,
    is_reconciling: bool = False,
) -> Readiness:
    """Return whether a machine could be failed over now. A test failover that stands is no hindrance.

    `has_told`: the target has told of this replica's points since it connected. One whose replica is damaged, or whose
    volume is missing, tells nothing.
    """
    if target.state is not HostState.ACTIVE:
        return _no(f"Host {target.name} is {target.state}: it is given no orders.")
    if is_reconciling:
        return _unknown("The vault was restored: what its hosts hold is not known yet.")
    hindrance = _hindrance(protection)
    if hindrance is not None:
        return _no(hindrance)
    if not (target.is_connected and has_told):
        why = (
            "has told nothing of them since it connected"
            if target.is_connected
            else "is not connected"
        )
        return _unknown(f"Host {target.name} {why}: its points cannot be read now.")
    if newest is None:
        return _no(f"Host {target.name} reports no recovery point.")
    return _from_point(protection, target.name, newest, now)


def _hindrance(protection: Protection) -> str | None:
    """Return why the state of a protection excludes a failover, None where it does not."""
    match protection.state:
        case ProtectionState.ENABLING | ProtectionState.INITIAL_REPLICATION:
            return f"It is not protected yet (state {protection.state})."
        case ProtectionState.DISABLING:
            return "Its protection is being disabled: its recovery points are removed."
        case ProtectionState.FAILED:
            return f"Its protection has failed: {protection.cause or 'no cause was given.'}"
        case (
            ProtectionState.PROTECTED
            | ProtectionState.PAUSED
            | ProtectionState.RESYNC_REQUIRED
            | ProtectionState.RESYNCHRONIZING
        ):
            return None


def _from_point(
    protection: Protection, target: str, newest: RecoveryPoint, now: datetime
) -> Readiness:
    if newest.is_doubtful:
        return _no(f"Host {target} has told two contents of its newest point {newest.sequence}.")
    age = lag(newest.state, now)
    told = "of unknown age" if age is None else f"{math.ceil(age.total_seconds())} s old"
    reason = f"Its newest point {newest.sequence} is {told}."
    if protection.state in (ProtectionState.RESYNC_REQUIRED, ProtectionState.RESYNCHRONIZING):
        reason += " Source and replica are not known to be equal."
    return Readiness(Verdict.YES, reason, age)


def _no(reason: str) -> Readiness:
    return Readiness(Verdict.NO, reason)


def _unknown(reason: str) -> Readiness:
    return Readiness(Verdict.UNKNOWN, reason)
