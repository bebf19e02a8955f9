"""The tables, as the newest migration leaves them. A column has the name of the field that it keeps."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from coordinator.domain.certificates import CertificateState
from coordinator.domain.compression import Compression
from coordinator.domain.control import VaultMode
from coordinator.domain.events import EventKind
from coordinator.domain.hosts import HostState
from coordinator.domain.job_results import (
    DigestedPoint,
    ExportedDisk,
    NamedPoint,
    RemovedReplica,
    VerifiedReplica,
)
from coordinator.domain.jobs import JobKind, JobState, Task
from coordinator.domain.operators import OperatorRole
from coordinator.domain.orders import (
    AcceptReplica,
    CleanUpRehearsal,
    DigestPoint,
    Done,
    ExportPoint,
    Failure,
    GuestReport,
    Measurement,
    NamePoint,
    NicConnection,
    PointDigests,
    PointExported,
    PointNamed,
    RecoveredDisk,
    RehearsalCleanedUp,
    RehearsalStarted,
    RemoveReplica,
    ReplicaAccepted,
    ReplicaRemoved,
    ResyncReplication,
    Seed,
    StartRehearsal,
    StartReplication,
    StopReplication,
    VerifyReplication,
    Withdrawn,
)
from coordinator.domain.points import PointKind
from coordinator.domain.policy_settings import ReplicaOnDisable
from coordinator.domain.protections import ProtectionState
from coordinator.domain.rehearsals import RehearsalState
from coordinator.domain.replication import ReplicationState, Verification
from coordinator.domain.throttle import ThrottleWindow
from coordinator.store.columns import Instant, Json, Span, TaggedJson, Word
from replikera.identity import Role
from replikera.machine import MachineDescription

ACTIONS = {
    "accept-replica": AcceptReplica,
    "start-replication": StartReplication,
    "resync-replication": ResyncReplication,
    "verify-replication": VerifyReplication,
    "stop-replication": StopReplication,
    "remove-replica": RemoveReplica,
    "start-rehearsal": StartRehearsal,
    "clean-up-rehearsal": CleanUpRehearsal,
    "digest-point": DigestPoint,
    "export-point": ExportPoint,
    "name-point": NamePoint,
}
OUTCOMES = {
    "done": Done,
    "replica-accepted": ReplicaAccepted,
    "replica-removed": ReplicaRemoved,
    "failure": Failure,
    "rehearsal-started": RehearsalStarted,
    "rehearsal-cleaned-up": RehearsalCleanedUp,
    "point-digests": PointDigests,
    "point-exported": PointExported,
    "point-named": PointNamed,
    "withdrawn": Withdrawn,
}
RESULTS = {
    "digested-point": DigestedPoint,
    "exported-disk": ExportedDisk,
    "named-point": NamedPoint,
    "verified-replica": VerifiedReplica,
    "removed-replica": RemovedReplica,
}

metadata = MetaData()

vault = Table(
    "vault",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)

hosts = Table(
    "hosts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("site", Text, nullable=False),
    Column("registered_at", Instant, nullable=False),
    Column("cloud", Text, nullable=False),
    Column("hypervisor", Text, nullable=False),
    Column("agent_version", Text, nullable=False),
    Column("replication_address", Text, nullable=False),
    Column("minimum_copy_interval", Span, nullable=False),
    Column("last_seen_at", Instant),
    Column("state", Word(HostState), nullable=False),
    Column("start_count", BigInteger, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("deny_list_version", BigInteger, nullable=False),
    Column("cause", Text),
    Column("remedy", Text),
    Column("replica_folders", Json(tuple[str, ...]), nullable=False),
    Column("storage_path", Text, nullable=False),
)

control = Table(
    "control",
    metadata,
    Column("id", Text, primary_key=True),
    Column("mode", Word(VaultMode), nullable=False),
    Column("mode_since", Instant, nullable=False),
    Column("deny_list_version", BigInteger, nullable=False),
    Column("reconciled_number", BigInteger, nullable=False),
)

sites = Table(
    "sites",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
)

clouds = Table(
    "clouds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("site", "name"),
)

operators = Table(
    "operators",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Word(OperatorRole), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
)

certificates = Table(
    "certificates",
    metadata,
    Column("id", Text, primary_key=True),
    Column("role", Word(Role), nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Word(CertificateState), nullable=False),
    Column("issued_at", Instant, nullable=False),
    Column("not_after", Instant, nullable=False),
    Column("public_key_hash", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Index("certificates_by_member", "role", "name"),
    Index("certificates_by_end", "not_after"),
)

requests = Table(
    "requests",
    metadata,
    Column("actor", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("result", Text, nullable=False),
    Column("created_at", Instant, nullable=False, index=True),
)

registration_keys = Table(
    "registration_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("site", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("used_at", Instant),
    Column("host_id", Text, ForeignKey("hosts.id")),
    Column("public_key_hash", LargeBinary),
    Column("certificate_chain", LargeBinary),
    Column("readmits", Text, ForeignKey("hosts.id")),
)

machines = Table(
    "machines",
    metadata,
    Column("host_id", Text, ForeignKey("hosts.id"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("is_running", Boolean, nullable=False),
    Column("description", Json(MachineDescription), nullable=False),
    Index("machines_by_id", "id"),
    Index("machines_by_name", "name"),
)

networks = Table(
    "networks",
    metadata,
    Column("host_id", Text, ForeignKey("hosts.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("is_isolated", Boolean, nullable=False),
    Column("subnets", Json(tuple[str, ...]), nullable=False),
)

policies = Table(
    "policies",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("copy_frequency", Span, nullable=False),
    Column("retention", Span, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("application_consistent_interval", Span, nullable=False),
    Column("compression", Word(Compression), nullable=False),
    Column("throttle", Json(tuple[ThrottleWindow, ...]), nullable=False),
    Column("rpo_target", Span),
    Column("replica_on_disable", Word(ReplicaOnDisable), nullable=False),
)

network_mappings = Table(
    "network_mappings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("primary_host_id", Text, ForeignKey("hosts.id"), nullable=False),
    Column("primary_network", Text, nullable=False),
    Column("secondary_host_id", Text, ForeignKey("hosts.id"), nullable=False),
    Column("secondary_network", Text, nullable=False),
    Column("test_network", Text),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("primary_host_id", "primary_network", "secondary_host_id"),
)

storage_mappings = Table(
    "storage_mappings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("primary_host_id", Text, ForeignKey("hosts.id"), nullable=False),
    Column("storage_class", Text, nullable=False),
    Column("secondary_host_id", Text, ForeignKey("hosts.id"), nullable=False),
    Column("folder", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("primary_host_id", "storage_class", "secondary_host_id"),
)

protections = Table(
    "protections",
    metadata,
    Column("id", Text, primary_key=True),
    Column("machine_id", Text, nullable=False, unique=True),
    Column("machine_name", Text, nullable=False, index=True),
    Column("source_host_id", Text, ForeignKey("hosts.id"), nullable=False),
    Column("target_host_id", Text, ForeignKey("hosts.id"), nullable=False),
    Column("policy_id", Text, ForeignKey("policies.id"), nullable=False),
    Column("state", Word(ProtectionState), nullable=False),
    Column("epoch_number", BigInteger, nullable=False),
    Column("generation", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("cause", Text),
    Column("remedy", Text),
    Column("grant_version", BigInteger, nullable=False),
    Column("grant_issued_at", Instant),
    Column("grant_not_after", Instant),
    Column("excluded_disk_ids", Json(tuple[str, ...]), nullable=False),
    Column("seeds", Json(tuple[Seed, ...]), nullable=False),
    Column("storage_folder", Text, nullable=False),
    Column("replica_path", Text, nullable=False),
    Column("is_paused", Boolean, nullable=False),
    Column("told_target", Json(AcceptReplica)),
    Column("told_source", Json(StartReplication)),
    Index("protections_by_source", "source_host_id"),
    Index("protections_by_target", "target_host_id"),
)

points = Table(
    "points",
    metadata,
    Column("protection_id", Text, ForeignKey("protections.id"), primary_key=True),
    Column("generation", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("kind", Word(PointKind), nullable=False),
    Column("name", Text, nullable=False),
    Column("capture_started_at", Instant, nullable=False),
    Column("capture_ended_at", Instant, nullable=False),
    Column("sealed_at", Instant, nullable=False),
    Column("payload_bytes", BigInteger, nullable=False),
    Column("chain_digest", LargeBinary, nullable=False),
    Column("heard_at", Instant),
    Column("other_digest", LargeBinary),
)

processed_points = Table(
    "processed_points",
    metadata,
    Column("protection_id", Text, ForeignKey("protections.id"), primary_key=True),
    Column("generation", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)

replication_reports = Table(
    "replication_reports",
    metadata,
    Column("protection_id", Text, ForeignKey("protections.id"), primary_key=True),
    Column("state", Word(ReplicationState), nullable=False),
    Column("failure", Json(Failure)),
    Column("done_bytes", BigInteger, nullable=False),
    Column("total_bytes", BigInteger, nullable=False),
    Column("rate", Float, nullable=False),
    Column("acknowledged_capture_started_at", Instant),
    Column("acknowledged_sequence", BigInteger, nullable=False),
    Column("reported_at", Instant, nullable=False),
    Column("sent_bytes", BigInteger, nullable=False),
    Column("verification", Json(Verification)),
    Column("compared_at", Instant),
    Column("warning", Json(Failure)),
    Column("acknowledged_heard_at", Instant),
)

rehearsals = Table(
    "rehearsals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("protection_id", Text, ForeignKey("protections.id"), nullable=False, index=True),
    Column("job_id", Text, nullable=False),
    Column("state", Word(RehearsalState), nullable=False),
    Column("generation", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("machine_name", Text, nullable=False),
    Column("nics", Json(tuple[NicConnection, ...]), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("network", Text, nullable=False),
    Column("ends_at", Instant, nullable=False, index=True),
    Column("machine_id", Text),
    Column("disks", Json(tuple[RecoveredDisk, ...]), nullable=False),
    Column("steps", Json(tuple[Measurement, ...]), nullable=False),
    Column("guest", Json(GuestReport)),
    Column("removed", Json(tuple[str, ...]), nullable=False),
    Column("notes", Text, nullable=False),
    Column("was_started", Boolean, nullable=False),
    Column("cause", Text),
    Column("remedy", Text),
    Column("cleaned_up_at", Instant),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Word(JobKind), nullable=False),
    Column("subject", Text, nullable=False),
    Column("protection_id", Text, nullable=False),
    Column("rehearsal_id", Text),
    Column("state", Word(JobState), nullable=False, index=True),
    Column("tasks", Json(tuple[Task, ...]), nullable=False),
    Column("created_at", Instant, nullable=False, index=True),
    Column("cause", Text),
    Column("remedy", Text),
    Column("finished_at", Instant),
    Column("cancel_requested_at", Instant),
    Column("result", TaggedJson(RESULTS)),
)

orders = Table(
    "orders",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("host_id", Text, ForeignKey("hosts.id"), nullable=False),
    Column("issued_at", Instant, nullable=False),
    Column("action", TaggedJson(ACTIONS), nullable=False),
    Column("outcome", TaggedJson(OUTCOMES)),
    Column("finished_at", Instant),
    Column("withdrawn_at", Instant),
    Index("orders_open_by_host", "host_id", "finished_at"),
)

events = Table(
    "events",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("occurred_at", Instant, nullable=False),
    Column("kind", Word(EventKind), nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Index("events_by_subject", "subject"),
    sqlite_autoincrement=True,  # a number is never given twice: agents compare it
)
