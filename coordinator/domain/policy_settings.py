"""What replication policies say, and what can be held."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from coordinator.domain.compression import Compression
from coordinator.domain.errors import InvalidValueError
from coordinator.domain.throttle import ThrottleWindow, check_windows

SHORTEST_COPY_FREQUENCY = timedelta(seconds=1)
LONGEST_COPY_FREQUENCY = timedelta(hours=24)
LONGEST_RETENTION = timedelta(days=30)
LONGEST_APPLICATION_CONSISTENT_INTERVAL = timedelta(hours=12)
LONGEST_RPO_TARGET = timedelta(days=30)
OFF = timedelta(0)

_HOUR = timedelta(hours=1)


class ReplicaOnDisable(StrEnum):
    """What becomes of a replica's disks when its protection is disabled, unless the operator says otherwise."""

    KEEP = "keep"
    DELETE = "delete"


class InitialReplication(StrEnum):
    """How the first copy of a machine comes to its target."""

    ONLINE = "online"
    SCHEDULED = "scheduled"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """What a policy says. With a retention of zero only the newest point is kept.

    An application-consistent interval of zero is "off". `rpo_target` is the age that the newest point may have; None
    is three times the copy frequency.
    """

    copy_frequency: timedelta
    retention: timedelta
    application_consistent_interval: timedelta = OFF
    compression: Compression = Compression.ADAPTIVE
    throttle: tuple[ThrottleWindow, ...] = ()
    rpo_target: timedelta | None = None
    replica_on_disable: ReplicaOnDisable = ReplicaOnDisable.KEEP

    def check(self) -> None:
        """Refuse settings that cannot be held. Raises `InvalidValueError`."""
        self._check_copy_frequency()
        self._check_retention()
        self._check_application_consistent_interval()
        self._check_rpo_target()
        check_windows(self.throttle)

    def _check_copy_frequency(self) -> None:
        if not SHORTEST_COPY_FREQUENCY <= self.copy_frequency <= LONGEST_COPY_FREQUENCY:
            raise InvalidValueError(
                "invalid-copy-frequency",
                f"A machine cannot be copied every {self.copy_frequency.total_seconds():g} s.",
                "Choose a copy frequency of 1 s to 24 h; 300 s is usual.",
                field="copy_frequency_seconds",
            )

    def _check_retention(self) -> None:
        if not timedelta(0) <= self.retention <= LONGEST_RETENTION:
            raise InvalidValueError(
                "invalid-retention",
                f"Points cannot be kept for {self.retention / _HOUR:g} h.",
                "Choose a retention of 0 (the newest point only) to 720 h (30 days).",
                field="retention_hours",
            )

    def _check_application_consistent_interval(self) -> None:
        interval = self.application_consistent_interval
        if interval == OFF:
            return
        if interval % _HOUR or not _HOUR <= interval <= LONGEST_APPLICATION_CONSISTENT_INTERVAL:
            raise InvalidValueError(
                "invalid-application-consistent-interval",
                f"Application-consistent points cannot be made every {interval / _HOUR:g} h.",
                "Choose 1 to 12 whole hours, or 0 for never.",
                field="application_consistent_hours",
            )
        if interval >= self.retention:
            raise InvalidValueError(
                "invalid-application-consistent-interval",
                f"Application-consistent points that are made every {interval / _HOUR:g} h would be gone before the "
                f"next: points are kept for {self.retention / _HOUR:g} h.",
                "Choose an interval shorter than the retention.",
                field="application_consistent_hours",
            )

    def _check_rpo_target(self) -> None:
        target = self.rpo_target
        if target is not None and not self.copy_frequency <= target <= LONGEST_RPO_TARGET:
            raise InvalidValueError(
                "invalid-rpo-target",
                f"An RPO target of {target.total_seconds():g} s cannot be promised by a copy every "
                f"{self.copy_frequency.total_seconds():g} s.",
                "Choose a target from the copy frequency to 30 days, or none for three times the copy frequency.",
                field="rpo_target_seconds",
            )


def refuse_what_is_not_offered(
    initial_replication: InitialReplication, *, has_tiers: bool, has_lock: bool
) -> None:
    """Refuse what this version cannot do, by its reason, in place of promising it. Raises `InvalidValueError`."""
    if initial_replication is InitialReplication.SCHEDULED:
        raise InvalidValueError(
            "scheduled-initial-replication-not-offered",
            "Initial replication begins when a machine is protected: this version has no schedule for it.",
            "Enable the protection when it may begin, or limit its rate with a throttle window.",
            field="initial_replication",
        )
    if initial_replication is InitialReplication.OFFLINE:
        raise InvalidValueError(
            "offline-initial-replication-not-offered",
            "Which disks are filled from which files is said of one machine, not of all that follow a policy.",
            "Name the seeds of a machine: replikera protection enable VM --seed DISK=FILE.",
            field="initial_replication",
        )
    if has_tiers:
        raise InvalidValueError(
            "retention-tiers-not-offered",
            "This version keeps every point for one retention: it thins nothing out.",
            "Choose one retention of up to 720 h.",
            field="retention_tiers",
        )
    if has_lock:
        raise InvalidValueError(
            "retention-lock-not-offered",
            "This version cannot lock points: an administrator of the target host could remove them all the same.",
            "Leave the lock out.",
            field="retention_lock_hours",
        )
