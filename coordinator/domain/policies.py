"""Replication policies: how often a machine is copied and how long its points are kept."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import InvalidValueError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import PolicyId, check_name

SHORTEST_COPY_FREQUENCY = timedelta(seconds=1)
LONGEST_COPY_FREQUENCY = timedelta(hours=24)
LONGEST_RETENTION = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Policy(Aggregate):
    """A named policy. With a retention of zero only the newest point is kept."""

    id: PolicyId
    name: str
    copy_frequency: timedelta
    retention: timedelta
    created_at: datetime

    def check_source(self, source: Host) -> None:
        """Refuse a copy frequency that the source's hypervisor driver cannot hold."""
        if self.copy_frequency < source.minimum_copy_interval:
            shortest = source.minimum_copy_interval.total_seconds()
            raise InvalidValueError(
                "copy-frequency-too-short",
                f"Policy {self.name} copies every {self.copy_frequency.total_seconds():g} s; "
                f"the {source.hypervisor} driver of host {source.name} needs {shortest:g} s.",
                "Choose a policy with a longer copy frequency.",
                field="policy",
            )


def create(
    policy_id: PolicyId, name: str, copy_frequency: timedelta, retention: timedelta, now: datetime
) -> tuple[Policy, Decision]:
    """Decide that there is a new policy."""
    check_name("policy", name, "name")
    if not SHORTEST_COPY_FREQUENCY <= copy_frequency <= LONGEST_COPY_FREQUENCY:
        raise InvalidValueError(
            "invalid-copy-frequency",
            f"A machine cannot be copied every {copy_frequency.total_seconds():g} s.",
            "Choose a copy frequency of 1 s to 24 h; 300 s is usual.",
            field="copy_frequency_seconds",
        )
    if not timedelta(0) <= retention <= LONGEST_RETENTION:
        raise InvalidValueError(
            "invalid-retention",
            f"Points cannot be kept for {retention / timedelta(hours=1):g} h.",
            "Choose a retention of 0 (the newest point only) to 720 h (30 days).",
            field="retention_hours",
        )
    policy = Policy(policy_id, name, copy_frequency, retention, now)
    event = Event(now, EventKind.POLICY_CREATED, policy_id, name)
    return policy, Decision(aggregates=(policy,), events=(event,))
