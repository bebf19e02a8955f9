"""What happened, for the history that is only ever added to."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EventKind(StrEnum):
    """Everything the history tells of."""

    VAULT_CREATED = "vault-created"
    HOST_INVITED = "host-invited"
    HOST_REGISTERED = "host-registered"
    POLICY_CREATED = "policy-created"
    NETWORK_MAPPED = "network-mapped"
    PROTECTION_ENABLING = "protection-enabling"
    REPLICA_ACCEPTED = "replica-accepted"
    REPLICATION_STARTED = "replication-started"
    MACHINE_PROTECTED = "machine-protected"
    PROTECTION_FAILED = "protection-failed"
    RESYNC_REQUIRED = "resync-required"
    TEST_FAILOVER_REQUESTED = "test-failover-requested"
    TEST_FAILOVER_STARTED = "test-failover-started"
    TEST_FAILOVER_FAILED = "test-failover-failed"
    CLEAN_UP_REQUESTED = "clean-up-requested"
    TEST_FAILOVER_CLEANED_UP = "test-failover-cleaned-up"
    CLEAN_UP_FAILED = "clean-up-failed"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the history. `subject` is the id of the object it is about."""

    occurred_at: datetime
    kind: EventKind
    subject: str
    detail: str = ""
