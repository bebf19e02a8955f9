"""What happened, for the history that is only ever added to."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EventKind(StrEnum):
    """Everything the history tells of."""

    VAULT_CREATED = "vault-created"
    VAULT_BACKED_UP = "vault-backed-up"
    VAULT_RESTORED = "vault-restored"
    VAULT_RECONCILING = "vault-reconciling"
    VAULT_RECONCILED = "vault-reconciled"
    HOST_INVITED = "host-invited"
    KEY_REVOKED = "key-revoked"
    HOST_REGISTERED = "host-registered"
    HOST_REJOINED = "host-rejoined"
    HOST_QUARANTINED = "host-quarantined"
    HOST_REVOKED = "host-revoked"
    HOST_READMITTED = "host-readmitted"
    HOST_RETIRED = "host-retired"
    CERTIFICATE_RENEWED = "certificate-renewed"
    DENY_LIST_CHANGED = "deny-list-changed"
    GRANT_ISSUED = "grant-issued"
    OPERATOR_CREATED = "operator-created"
    OPERATOR_RENEWED = "operator-renewed"
    OPERATOR_REVOKED = "operator-revoked"
    SITE_CREATED = "site-created"
    CLOUD_CREATED = "cloud-created"
    POLICY_CREATED = "policy-created"
    POLICY_CHANGED = "policy-changed"
    POLICY_DELETED = "policy-deleted"
    NETWORK_MAPPED = "network-mapped"
    NETWORK_MAPPING_CHANGED = "network-mapping-changed"
    NETWORK_UNMAPPED = "network-unmapped"
    STORAGE_MAPPED = "storage-mapped"
    STORAGE_UNMAPPED = "storage-unmapped"
    PROTECTION_ENABLING = "protection-enabling"
    REPLICA_ACCEPTED = "replica-accepted"
    REPLICATION_STARTED = "replication-started"
    MACHINE_PROTECTED = "machine-protected"
    PROTECTION_PAUSING = "protection-pausing"
    PROTECTION_PAUSED = "protection-paused"
    PROTECTION_RESUMING = "protection-resuming"
    PROTECTION_RESUMED = "protection-resumed"
    PROTECTION_UPDATING = "protection-updating"
    PROTECTION_UPDATED = "protection-updated"
    PROTECTION_CHANGE_FAILED = "protection-change-failed"
    PROTECTION_DISABLING = "protection-disabling"
    PROTECTION_DISABLED = "protection-disabled"
    DISABLING_FAILED = "disabling-failed"
    FORGOTTEN_HOST_FAILED = "forgotten-host-failed"
    RESYNC_REQUESTED = "resync-requested"
    RESYNC_STARTED = "resync-started"
    RESYNC_FAILED = "resync-failed"
    MACHINE_RESYNCHRONIZED = "machine-resynchronized"
    VERIFICATION_REQUESTED = "verification-requested"
    VERIFICATION_STARTED = "verification-started"
    VERIFICATION_ENDED = "verification-ended"
    VERIFICATION_FAILED = "verification-failed"
    PROTECTION_FAILED = "protection-failed"
    PROTECTION_RENAMED = "protection-renamed"
    PROTECTION_REMOVED = "protection-removed"
    EPOCH_ADOPTED = "epoch-adopted"
    RESYNC_REQUIRED = "resync-required"
    TEST_FAILOVER_REQUESTED = "test-failover-requested"
    TEST_FAILOVER_FOUND = "test-failover-found"
    TEST_FAILOVER_STARTED = "test-failover-started"
    TEST_FAILOVER_FAILED = "test-failover-failed"
    CLEAN_UP_REQUESTED = "clean-up-requested"
    TEST_FAILOVER_CLEANED_UP = "test-failover-cleaned-up"
    CLEAN_UP_FAILED = "clean-up-failed"
    POINT_DIGEST_REQUESTED = "point-digest-requested"
    POINT_DIGESTED = "point-digested"
    POINT_DIGEST_FAILED = "point-digest-failed"
    POINT_EXPORT_REQUESTED = "point-export-requested"
    POINT_EXPORTED = "point-exported"
    POINT_EXPORT_FAILED = "point-export-failed"
    POINT_NAME_REQUESTED = "point-name-requested"
    POINT_NAMED = "point-named"
    POINT_NAME_FAILED = "point-name-failed"
    JOB_CANCEL_REQUESTED = "job-cancel-requested"
    JOB_CANCELLED = "job-cancelled"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the history, as a decision makes it; the store adds number, actor and digest.

    `subject` is the id of the object it is about.
    """

    occurred_at: datetime
    kind: EventKind
    subject: str
    detail: str = ""
