"""The bodies of requests and answers. What a request says beyond them is refused."""

from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from coordinator.domain.health import HealthLevel
from coordinator.domain.jobs import JobKind, JobState, TaskState
from coordinator.domain.points import MAX_INTEGER, PointKind
from coordinator.domain.protections import ProtectionState
from coordinator.domain.registration_keys import DEFAULT_LIFE
from coordinator.domain.rehearsals import RehearsalState

Item = TypeVar("Item")
Text = Annotated[str, Field(min_length=1, max_length=255)]


class RequestBody(BaseModel):
    """Strict: no unknown fields, no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class HostInvitationRequest(RequestBody):
    """`POST /host-invitations`."""

    site: Text
    valid_for_seconds: int = Field(default=int(DEFAULT_LIFE.total_seconds()), ge=1, le=MAX_INTEGER)


class PolicyRequest(RequestBody):
    """`POST /policies`."""

    name: Text
    copy_frequency_seconds: int = Field(ge=0, le=10**9)
    retention_hours: int = Field(ge=0, le=10**6)


class NetworkMappingRequest(RequestBody):
    """`POST /network-mappings`."""

    primary_host: Text
    primary_network: Text
    secondary_host: Text
    secondary_network: Text
    test_network: Text | None = None


class ProtectionRequest(RequestBody):
    """`POST /protections`."""

    machine: Text
    target_host: Text
    policy: Text


class TestFailoverRequest(RequestBody):
    """`POST /protections/{name}/test-failovers`."""

    point: Literal["latest"] | Annotated[int, Field(ge=1, le=MAX_INTEGER)]


class CleanUpRequest(RequestBody):
    """`POST /protections/{name}/test-failovers/clean-up`."""

    notes: str = ""


class Answer(BaseModel):
    """What the vault says."""

    model_config = ConfigDict(frozen=True)


class ItemList(Answer, Generic[Item]):
    """A list."""

    items: list[Item]


class VaultAnswer(Answer):
    """The vault."""

    id: str
    name: str
    created_at: datetime
    session_address: str
    enrolment_address: str


class HostInvitationAnswer(Answer):
    """A registration key; the join line is told this once."""

    key_id: str
    join_line: str
    site: str
    expires_at: datetime


class HostAnswer(Answer):
    """A host."""

    id: str
    name: str
    site: str
    cloud: str
    hypervisor: str
    state: Literal["connected", "disconnected"]
    last_seen_at: datetime | None
    replication_address: str
    agent_version: str


class MachineDisk(Answer):
    """A disk of a machine."""

    disk_id: str
    name: str
    size: int


class MachineNic(Answer):
    """An adapter of a machine."""

    nic_id: str
    name: str
    network: str


class MachineAnswer(Answer):
    """A machine; `protection` is the id of the one it has."""

    id: str
    name: str
    host: str
    site: str
    is_running: bool
    disks: list[MachineDisk]
    nics: list[MachineNic]
    protection: str | None


class NetworkAnswer(Answer):
    """A network of a host."""

    name: str
    host: str
    site: str
    is_isolated: bool
    subnets: list[str]


class PolicyAnswer(Answer):
    """A policy."""

    id: str
    name: str
    copy_frequency_seconds: int
    retention_hours: int


class NetworkMappingAnswer(Answer):
    """A network mapping, hosts by name."""

    id: str
    primary_host: str
    primary_network: str
    secondary_host: str
    secondary_network: str
    test_network: str | None


class NewestPoint(Answer):
    """The newest point of a protection."""

    sequence: int
    capture_started_at: datetime


class ProgressAnswer(Answer):
    """How far a long transfer is; `rate` in bytes a second."""

    done_bytes: int
    total_bytes: int
    rate: float


class LastTestFailover(Answer):
    """The newest test failover of a protection."""

    id: str
    state: RehearsalState


class ProtectionAnswer(Answer):
    """A protection, hosts and policy by name."""

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
    newest_point: NewestPoint | None
    lag_seconds: float | None
    progress: ProgressAnswer | None
    test_failover: LastTestFailover | None


class PointAnswer(Answer):
    """A recovery point."""

    generation: str
    sequence: int
    kind: PointKind
    name: str
    capture_started_at: datetime
    capture_ended_at: datetime
    sealed_at: datetime
    payload_bytes: int


class PointName(Answer):
    """Which point a test failover is of."""

    generation: str
    sequence: int


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


class TaskAnswer(Answer):
    """One task of a job."""

    name: str
    state: TaskState
    detail: str | None


class JobAnswer(Answer):
    """A job; `subject` is the machine's name."""

    id: str
    kind: JobKind
    subject: str
    state: JobState
    tasks: list[TaskAnswer]
    cause: str | None
    remedy: str | None
    created_at: datetime
    finished_at: datetime | None
    progress: ProgressAnswer | None


class StatusAnswer(Answer):
    """The whole vault at one moment."""

    vault: str
    now: datetime
    health: HealthLevel
    hosts: list[HostAnswer]
    protections: list[ProtectionAnswer]
    jobs_running: int


class FieldProblem(Answer):
    """What is wrong with one field of a request."""

    pointer: str
    detail: str


class Problem(Answer):
    """An error (RFC 9457) with a stable code and a remedy."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    remedy: str
    errors: list[FieldProblem] | None = None
