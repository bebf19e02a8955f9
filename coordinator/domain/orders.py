"""What one host is told to do, and how it ended. An order may arrive twice; the second time changes nothing."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.compression import Compression
from coordinator.domain.identifiers import (
    Generation,
    HostId,
    JobId,
    MachineId,
    OrderId,
    ProtectionId,
    RehearsalId,
)
from coordinator.domain.throttle import ThrottleWindow


@dataclass(frozen=True, slots=True)
class AcceptReplica:
    """To the target: keep a replica of this machine, written by that source host alone.

    Given again in the same epoch it changes the terms. An empty `storage_folder` is the host's default; a replica that
    exists stays where it is.
    """

    protection_id: ProtectionId
    epoch_number: int
    generation: Generation
    source_host_id: HostId
    machine_id: MachineId
    machine_name: str
    retention: timedelta
    storage_folder: str = ""
    seeds: tuple["Seed", ...] = ()


@dataclass(frozen=True, slots=True)
class Seed:
    """A disk, by its file name, that is filled from a file in the target's seed folder before anything is sent."""

    disk_name: str
    file_name: str


@dataclass(frozen=True, slots=True)
class StartReplication:
    """To the source: replicate this machine to that target host until told otherwise.

    Given again in the same epoch it changes how. While it is paused nothing is sent and nothing forgotten.
    """

    protection_id: ProtectionId
    epoch_number: int
    generation: Generation
    machine_id: MachineId
    target_host_id: HostId
    target_address: str
    copy_frequency: timedelta
    compression: Compression = Compression.ADAPTIVE
    throttle: tuple[ThrottleWindow, ...] = ()
    application_consistent_interval: timedelta = timedelta(0)
    excluded_disk_ids: tuple[str, ...] = ()
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class ResyncReplication:
    """To the source: compare everything with the target's newest point and send what differs."""

    protection_id: ProtectionId


@dataclass(frozen=True, slots=True)
class VerifyReplication:
    """To the source: compare everything once with the target while replication goes on; without an id no more."""

    protection_id: ProtectionId
    verification_id: str


@dataclass(frozen=True, slots=True)
class StopReplication:
    """To the source: stop replicating and forget."""

    protection_id: ProtectionId


@dataclass(frozen=True, slots=True)
class RemoveReplica:
    """To the target: end the replica; the disks of its newest point may stay as plain files."""

    protection_id: ProtectionId
    keep_disks: bool


@dataclass(frozen=True, slots=True)
class NicConnection:
    """An adapter and its network; an empty one leaves the adapter disconnected."""

    nic_id: str
    network: str


@dataclass(frozen=True, slots=True)
class StartRehearsal:
    """To the target: recover one point beside the replica, isolated, and start it."""

    rehearsal_id: RehearsalId
    protection_id: ProtectionId
    generation: Generation
    sequence: int
    machine_name: str
    nics: tuple[NicConnection, ...]
    guest_timeout: timedelta
    created_networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CleanUpRehearsal:
    """To the target: remove everything the rehearsal made and prove it by inventory."""

    rehearsal_id: RehearsalId
    protection_id: ProtectionId


@dataclass(frozen=True, slots=True)
class DigestPoint:
    """To the target: read a whole point and tell what it holds."""

    protection_id: ProtectionId
    generation: Generation
    sequence: int


@dataclass(frozen=True, slots=True)
class ExportPoint:
    """To the target: write one disk of a point as a file of its own, and read it back. `disk` is its place, from 0."""

    protection_id: ProtectionId
    generation: Generation
    sequence: int
    disk: int
    file_name: str


@dataclass(frozen=True, slots=True)
class NamePoint:
    """To the source: take a recovery point now and give it this name."""

    protection_id: ProtectionId
    name: str


Action: TypeAlias = (
    AcceptReplica
    | StartReplication
    | ResyncReplication
    | VerifyReplication
    | StopReplication
    | RemoveReplica
    | StartRehearsal
    | CleanUpRehearsal
    | DigestPoint
    | ExportPoint
    | NamePoint
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, and what to do: shown to operators as it stands."""

    code: str
    cause: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Done:
    """Carried out and read back; there is nothing more to say."""


@dataclass(frozen=True, slots=True)
class ReplicaAccepted:
    """The target keeps the replica in the folder `path`."""

    path: str


@dataclass(frozen=True, slots=True)
class ReplicaRemoved:
    """The target keeps no replica any more; `kept_paths` are the disks that were left as plain files."""

    kept_paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecoveredDisk:
    """A disk of a recovered machine."""

    disk_id: str
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """How long one step took, in seconds."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class GuestReport:
    """What the guest of a recovered machine says of itself."""

    is_healthy: bool
    summary: str
    records: int


@dataclass(frozen=True, slots=True)
class RehearsalStarted:
    """The recovered machine runs; adapters as the hypervisor showed them before power-on."""

    machine_id: MachineId
    disks: tuple[RecoveredDisk, ...]
    steps: tuple[Measurement, ...]
    guest: GuestReport | None
    nics: tuple[NicConnection, ...]


@dataclass(frozen=True, slots=True)
class RehearsalCleanedUp:
    """Nothing of the rehearsal is left; what was removed, by name."""

    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DiskDigest:
    """What a disk holds: `sha256` of all bytes that the guest would see, hexadecimal; `size` in bytes."""

    disk_id: str
    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PointDigests:
    """Every disk of a point was read to its end."""

    disks: tuple[DiskDigest, ...]


@dataclass(frozen=True, slots=True)
class PointExported:
    """A disk of a point is in a file of its own: what was read back from it."""

    path: str
    disk: DiskDigest


@dataclass(frozen=True, slots=True)
class PointNamed:
    """The target has sealed the point that carries the name."""

    generation: Generation
    sequence: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The order was taken back before it began: nothing was done, and nothing will be."""


Outcome: TypeAlias = (
    Done
    | Failure
    | ReplicaAccepted
    | ReplicaRemoved
    | RehearsalStarted
    | RehearsalCleanedUp
    | PointDigests
    | PointExported
    | PointNamed
    | Withdrawn
)


@dataclass(frozen=True, slots=True)
class Order(Aggregate):
    """An order to one host. It is delivered again and again until it has an outcome.

    `withdrawn_at` is when the vault asked for it not to be begun; what came of that is the outcome.
    """

    id: OrderId
    job_id: JobId
    host_id: HostId
    issued_at: datetime
    action: Action
    outcome: Outcome | None = None
    finished_at: datetime | None = None
    withdrawn_at: datetime | None = None

    def withdrawn(self, now: datetime) -> "Order":
        """Return the order as one that its host is asked not to begin."""
        return replace(self, withdrawn_at=now)

    def finished(self, outcome: Outcome, now: datetime) -> "Order":
        """Return the order with the outcome that its host reported."""
        return replace(self, outcome=outcome, finished_at=now)


@dataclass(frozen=True, slots=True)
class OrderProgress:
    """How far a host is with an order; soft state."""

    order_id: OrderId
    step: str
    done_bytes: int
    total_bytes: int
