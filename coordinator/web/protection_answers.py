"""What the vault answers about protections, their points, test failovers and jobs."""

from datetime import datetime
from typing import TypeAlias

from coordinator.domain.control import VaultMode
from coordinator.domain.health import HealthLevel
from coordinator.domain.jobs import JobAction, JobKind, JobState, TaskState
from coordinator.domain.protections import ProtectionState
from coordinator.domain.readiness import Verdict
from coordinator.domain.rehearsals import RehearsalState
from coordinator.web.answers import HostAnswer
from coordinator.web.mapping_answers import NicPlacementAnswer
from coordinator.web.models import Answer
from coordinator.web.point_answers import (
    DigestedPointAnswer,
    ExportedDiskAnswer,
    NamedPointAnswer,
    PointName,
)


class NewestPoint(Answer):
    """The newest point of a protection."""

    sequence: int
    capture_started_at: datetime


class ProgressAnswer(Answer):
    """How far a long transfer is, as its host told at `reported_at`; `rate` in bytes a second, null where unknown."""

    done_bytes: int
    total_bytes: int
    rate: float | None
    reported_at: datetime


class LastTestFailover(Answer):
    """The newest test failover of a protection."""

    id: str
    state: RehearsalState


class FailoverNowAnswer(Answer):
    """Whether a machine could be failed over now, and why; the age of its newest point is null unless it could."""

    answer: Verdict
    reason: str
    newest_point_age_seconds: float | None


class LastProvedAnswer(Answer):
    """The newest test failover that was successful to the end of its clean-up; `ended_at` is null where not kept."""

    test_failover: str
    point: PointName
    ended_at: datetime | None


class GrantAnswer(Answer):
    """The newest permission of a source to send, and when it ends."""

    version: int
    not_after: datetime


class VerificationAnswer(Answer):
    """The newest full comparison of a replica with its source; it has the id of the job that asked for it."""

    verification_id: str
    checked_bytes: int
    total_bytes: int
    differing_bytes: int
    is_finished: bool
    finished_at: datetime | None


class WarningAnswer(Answer):
    """What an operator should know although replication goes on."""

    code: str
    cause: str
    remedy: str


class SeedAnswer(Answer):
    """A disk, by file name, and the file of the seed folder that it was filled from."""

    disk: str
    file: str


class VerifiedReplicaAnswer(Answer):
    """How much of a replica was compared with its source."""

    checked_bytes: int
    differing_bytes: int


class RemovedReplicaAnswer(Answer):
    """Where the disks of a removed replica are, none where they were deleted."""

    kept_paths: list[str]


class ProtectionAnswer(Answer):
    """A protection, hosts and policy by name.

    `sent_bytes` are those of the present or last transfer after compression; `compared_at` is when a sample was last
    found equal. An empty `storage_folder` is the target's default. More lag than `rpo_critical_seconds` is
    critical.
    """

    id: str
    name: str
    machine_id: str
    source_host: str
    target_host: str
    policy: str
    state: ProtectionState
    health: HealthLevel
    cause: str | None
    remedy: str | None
    generation: str
    epoch_number: int
    newest_point: NewestPoint | None
    lag_seconds: float | None
    progress: ProgressAnswer | None
    test_failover: LastTestFailover | None
    failover_now: FailoverNowAnswer
    last_proved: LastProvedAnswer | None
    grant: GrantAnswer | None
    is_paused: bool
    excluded_disks: list[str]
    seeds: list[SeedAnswer]
    storage_folder: str
    replica_path: str | None
    rpo_target_seconds: float
    rpo_critical_seconds: float
    sent_bytes: int | None
    verification: VerificationAnswer | None
    compared_at: datetime | None
    warning: WarningAnswer | None


class RecoveredDiskAnswer(Answer):
    """A disk of a recovered machine."""

    disk_id: str
    path: str
    size: int


class NicConnectionAnswer(Answer):
    """Where an adapter is connected; empty for nowhere."""

    nic_id: str
    network: str


class GuestAnswer(Answer):
    """What the guest said of itself."""

    is_healthy: bool
    summary: str
    records: int


class StepAnswer(Answer):
    """How long a step took."""

    name: str
    seconds: float


class TestFailoverAnswer(Answer):
    """A test failover; `protection` is the machine's name."""

    id: str
    protection: str
    point: PointName
    machine_name: str
    machine_id: str | None
    state: RehearsalState
    disks: list[RecoveredDiskAnswer]
    nics: list[NicConnectionAnswer]
    guest: GuestAnswer | None
    steps: list[StepAnswer]
    removed: list[str]
    notes: str
    is_successful: bool
    cause: str | None
    remedy: str | None
    created_at: datetime
    network: str
    ends_at: datetime
    cleaned_up_at: datetime | None


class TestFailoverPlanAnswer(Answer):
    """What a test failover would do now; an empty `storage_path` is not known.

    `expected_loss_seconds` is what the machine would lose: the time since the capture of the point began;
    null where clocks do not let it be told.
    """

    protection: str
    target_host: str
    storage_path: str
    point: PointName
    captured_at: datetime
    expected_loss_seconds: float | None
    nics: list[NicPlacementAnswer]
    created_networks: list[str]


class TaskAnswer(Answer):
    """One task of a job."""

    name: str
    state: TaskState
    detail: str | None


JobResultAnswer: TypeAlias = (
    DigestedPointAnswer
    | ExportedDiskAnswer
    | NamedPointAnswer
    | VerifiedReplicaAnswer
    | RemovedReplicaAnswer
)


class JobAnswer(Answer):
    """A job; `subject` is the machine's name, `allowed_actions` what may be done with it now.

    `result` is what it brought to light, if it is of a kind that does.
    """

    id: str
    kind: JobKind
    subject: str
    protection_id: str
    state: JobState
    tasks: list[TaskAnswer]
    cause: str | None
    remedy: str | None
    created_at: datetime
    cancel_requested_at: datetime | None
    finished_at: datetime | None
    progress: ProgressAnswer | None
    result: JobResultAnswer | None
    allowed_actions: list[JobAction]


class StatusAnswer(Answer):
    """The whole vault at one moment."""

    vault: str
    now: datetime
    mode: VaultMode
    health: HealthLevel
    hosts: list[HostAnswer]
    protections: list[ProtectionAnswer]
    jobs_running: int
