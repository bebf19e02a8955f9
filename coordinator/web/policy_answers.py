"""What the vault answers about policies."""

from coordinator.domain.compression import Compression
from coordinator.domain.policy_settings import ReplicaOnDisable
from coordinator.web.models import Answer


class ThrottleWindowAnswer(Answer):
    """A limit on some days (bit 0 is Monday) at some minutes since midnight of the source's clock."""

    weekdays: int
    start_minute: int
    end_minute: int
    bytes_per_second: int


class PolicyAnswer(Answer):
    """A policy. Without an RPO target three times the copy frequency is promised."""

    id: str
    name: str
    copy_frequency_seconds: int
    retention_hours: int
    application_consistent_hours: int
    compression: Compression
    throttle: list[ThrottleWindowAnswer]
    rpo_target_seconds: int | None
    promised_rpo_seconds: int
    replica_on_disable: ReplicaOnDisable


class PolicyDetailAnswer(PolicyAnswer):
    """A policy with the machines, by name, that follow it."""

    protections: list[str]


class PolicyUpdateAnswer(PolicyAnswer):
    """A policy as it is now, and the jobs that tell it to the hosts, by id."""

    jobs: list[str]


class PolicyDeletionAnswer(Answer):
    """The policy that is gone."""

    id: str
    name: str
