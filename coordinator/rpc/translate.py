"""What hosts say: protobuf to domain. It is checked before it is believed."""

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from coordinator.domain.errors import InvalidValueError
from coordinator.domain.hello import DIGEST_BYTES, HeldProtection, HeldRehearsal, HostHello
from coordinator.domain.hosts import HostFacts
from coordinator.domain.identifiers import (
    Generation,
    HostId,
    MachineId,
    OrderId,
    ProtectionId,
    RehearsalId,
)
from coordinator.domain.inventory import Inventory, Machine, Network
from coordinator.domain.orders import (
    DiskDigest,
    Done,
    Failure,
    GuestReport,
    Measurement,
    NicConnection,
    OrderProgress,
    Outcome,
    PointDigests,
    PointExported,
    PointNamed,
    RecoveredDisk,
    RehearsalCleanedUp,
    RehearsalStarted,
    ReplicaAccepted,
    ReplicaRemoved,
    Withdrawn,
)
from coordinator.domain.points import MAX_INTEGER, Covered, PointKind, PointReport, RecoveryPoint
from coordinator.domain.replication import ReplicationReport, ReplicationState, Verification
from replikera.machine import MachineDescriptionError, parse_machine_description
from replikera.wire.v1 import orders_pb2, session_pb2, types_pb2

T = TypeVar("T")

MAX_TEXT = 2_000
"""Causes, remedies and summaries are shown to people; longer ones are cut."""

MAX_ITEMS = 1_024
"""Disks, adapters, steps and removed objects of one rehearsal."""

SHA256_BYTES = 32

_POINT_KINDS = {
    types_pb2.POINT_KIND_CRASH_CONSISTENT: PointKind.CRASH_CONSISTENT,
    types_pb2.POINT_KIND_APPLICATION_CONSISTENT: PointKind.APPLICATION_CONSISTENT,
    types_pb2.POINT_KIND_NAMED: PointKind.NAMED,
}
_STATES = {
    session_pb2.REPLICATION_STATE_INITIAL: ReplicationState.INITIAL,
    session_pb2.REPLICATION_STATE_REPLICATING: ReplicationState.REPLICATING,
    session_pb2.REPLICATION_STATE_WAITING: ReplicationState.WAITING,
    session_pb2.REPLICATION_STATE_RESYNC_REQUIRED: ReplicationState.RESYNC_REQUIRED,
    session_pb2.REPLICATION_STATE_RESYNCHRONIZING: ReplicationState.RESYNCHRONIZING,
    session_pb2.REPLICATION_STATE_PAUSED: ReplicationState.PAUSED,
}


def host_facts(message: types_pb2.HostFacts) -> HostFacts:
    """Return what a host says of itself."""
    interval = _integer(message.minimum_copy_interval_ms, "minimum_copy_interval_ms")
    try:
        minimum = timedelta(milliseconds=interval)
    except OverflowError as error:
        raise _invalid("minimum_copy_interval_ms", "is too long") from error
    return HostFacts(
        message.cloud,
        message.hypervisor,
        message.agent_version,
        message.replication_address,
        minimum,
        tuple(message.replica_folders),
        message.storage_path,
    )


def hello(message: session_pb2.Hello) -> HostHello:
    """Return what a host says first."""
    digest = message.control_digest
    if len(digest) not in (0, DIGEST_BYTES):
        raise _invalid("control_digest", f"has {len(digest)} bytes")
    return HostHello(
        host_facts(message.facts),
        message.facts.name,
        (_integer(message.control_version, "control_version"), digest),
        _integer(message.start_count, "start_count"),
        message.run_id,
        _integer(message.deny_list_version, "deny_list_version"),
        tuple(map(_held, message.protections)),
        tuple(map(_held_rehearsal, message.rehearsals)),
    )


def stored_version(message: session_pb2.DenyListStored) -> int:
    """Return the version of the deny-list that a host has made durable."""
    return _integer(message.version, "version")


def inventory(host_id: HostId, message: session_pb2.Inventory) -> Inventory:
    """Return all machines and networks of a host."""
    return Inventory(
        tuple(_machine(host_id, machine) for machine in message.machines),
        tuple(
            Network(network.name, host_id, network.is_isolated, tuple(network.subnets))
            for network in message.networks
        ),
    )


def progress(message: orders_pb2.OrderProgress) -> OrderProgress:
    """Return how far an order is."""
    return OrderProgress(
        OrderId(message.order_id),
        _text(message.step),
        _integer(message.done_bytes, "done_bytes"),
        _integer(message.total_bytes, "total_bytes"),
    )


def outcome(message: orders_pb2.OrderOutcome) -> Outcome:
    """Return how an order ended."""
    kind = message.WhichOneof("result")
    if kind is None:
        raise _invalid("outcome", "has no result that this vault knows")
    return _OUTCOMES[kind](message)


def failure(message: types_pb2.Failure) -> Failure:
    """Return what went wrong."""
    return Failure(
        _text(message.code) or "unknown",
        _text(message.cause) or "The host gave no cause.",
        _text(message.remedy) or "Look at the log of its agent.",
    )


def replication_report(message: session_pb2.ReplicationReport, now: datetime) -> ReplicationReport:
    """Return how a source says its replication goes."""
    state = _STATES.get(message.state)
    if state is None or not math.isfinite(message.rate):
        raise _invalid("replication", "has a state or a rate that this vault does not know")
    acknowledged = message.HasField("acknowledged_capture_started_at")
    return ReplicationReport(
        ProtectionId(message.protection_id),
        state,
        failure(message.failure) if message.HasField("failure") else None,
        _integer(message.done_bytes, "done_bytes"),
        _integer(message.total_bytes, "total_bytes"),
        message.rate,
        _moment(message.acknowledged_capture_started_at) if acknowledged else None,
        _integer(message.acknowledged_sequence, "acknowledged_sequence"),
        now,
        _integer(message.sent_bytes, "sent_bytes"),
        _verification(message.verification) if message.HasField("verification") else None,
        _moment(message.compared_at) if message.HasField("compared_at") else None,
        failure(message.warning) if message.HasField("warning") else None,
    )


def point_report(message: session_pb2.RecoveryPointReport) -> PointReport:
    """Return what a target says it holds."""
    protection_id = ProtectionId(message.protection_id)
    generation = Generation(message.generation)
    points = tuple(_point(protection_id, generation, point) for point in message.points)
    if len({point.sequence for point in points}) != len(points):
        raise _invalid("points", "has a sequence twice")
    return PointReport(
        protection_id,
        generation,
        points,
        tuple(_integer(sequence, "released") for sequence in message.released),
        _covered(message),
        message.number,
        _integer(message.processed_sequence, "processed_sequence"),
    )


def _covered(message: session_pb2.RecoveryPointReport) -> Covered | None:
    if not (message.covers_from or message.covers_to):
        return None
    return Covered(message.covers_from, message.covers_to)


def _verification(message: session_pb2.Verification) -> Verification:
    return Verification(
        _text(message.verification_id),
        _integer(message.checked_bytes, "checked_bytes"),
        _integer(message.total_bytes, "total_bytes"),
        _integer(message.differing_bytes, "differing_bytes"),
        message.is_finished,
        _moment(message.finished_at) if message.HasField("finished_at") else None,
    )


def _held(message: session_pb2.HeldProtection) -> HeldProtection:
    return HeldProtection(
        ProtectionId(message.protection_id),
        _integer(message.epoch.number, "epoch"),
        Generation(message.epoch.generation),
        message.is_source,
        MachineId(message.machine_id),
        _text(message.machine_name),
        HostId(message.peer_host_id),
        _integer(message.grant_version, "grant_version"),
    )


def _held_rehearsal(message: session_pb2.HeldRehearsal) -> HeldRehearsal:
    return HeldRehearsal(
        RehearsalId(message.rehearsal_id),
        ProtectionId(message.protection_id),
        Generation(message.generation),
        _integer(message.sequence, "sequence"),
        _text(message.machine_name),
    )


def _machine(host_id: HostId, message: types_pb2.Machine) -> Machine:
    try:
        description = parse_machine_description(message.description)
    except MachineDescriptionError as error:
        raise _invalid("machines", f"describes {message.name!r} wrongly: {error}") from error
    if (description.machine_id, description.name) != (message.machine_id, message.name):
        raise _invalid("machines", f"describes another machine under the name {message.name!r}")
    return Machine(
        MachineId(message.machine_id), message.name, host_id, message.is_running, description
    )


def _rehearsal_started(message: orders_pb2.RehearsalStarted) -> RehearsalStarted:
    return RehearsalStarted(
        MachineId(_text(message.machine_id)),
        tuple(
            RecoveredDisk(_text(disk.disk_id), disk.path[:MAX_TEXT], _integer(disk.size, "size"))
            for disk in _bounded(message.disks, "disks")
        ),
        tuple(
            Measurement(_text(step.name), _seconds(step.seconds))
            for step in _bounded(message.steps, "steps")
        ),
        _guest(message.guest) if message.HasField("guest") else None,
        tuple(
            NicConnection(_text(nic.nic_id), _text(nic.network))
            for nic in _bounded(message.nics, "nics")
        ),
    )


def _disk_digest(message: orders_pb2.DiskDigest) -> DiskDigest:
    if len(message.sha256) != SHA256_BYTES:
        raise _invalid("sha256", f"has {len(message.sha256)} bytes")
    return DiskDigest(
        _text(message.disk_id),
        _text(message.name),
        _integer(message.size, "size"),
        message.sha256.hex(),
    )


def _guest(message: orders_pb2.GuestReport) -> GuestReport:
    return GuestReport(
        message.is_healthy, _text(message.summary), _integer(message.records, "records")
    )


def _point(
    protection_id: ProtectionId, generation: Generation, message: types_pb2.RecoveryPoint
) -> RecoveryPoint:
    kind = _POINT_KINDS.get(message.kind)
    if kind is None or message.generation != generation:
        raise _invalid("points", f"has point {message.sequence} of an unknown kind or generation")
    return RecoveryPoint(
        protection_id,
        generation,
        _integer(message.sequence, "sequence"),
        kind,
        message.name,
        _moment(message.capture_started_at),
        _moment(message.capture_ended_at),
        _moment(message.sealed_at),
        _integer(message.payload_bytes, "payload_bytes"),
        message.chain_digest,
    )


def _moment(message: Timestamp) -> datetime:
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise _invalid("time", "is not a time") from error


def _integer(value: int, field: str) -> int:
    if value > MAX_INTEGER:
        raise _invalid(field, f"is {value}, which nothing can be")
    return value


def _seconds(value: float) -> float:
    if not math.isfinite(value) or value < 0:
        raise _invalid("seconds", "is not a duration")
    return value


def _text(value: str) -> str:
    """Return one printable line: what a host says is shown on operators' terminals."""
    return "".join(letter if letter.isprintable() else " " for letter in value[:MAX_TEXT]).strip()


def _bounded(items: Iterable[T], field: str) -> tuple[T, ...]:
    found = tuple(items)
    if len(found) > MAX_ITEMS:
        raise _invalid(field, f"has {len(found)} items, the limit is {MAX_ITEMS}")
    return found


def _invalid(field: str, what: str) -> InvalidValueError:
    return InvalidValueError(
        "invalid-message",
        f"The host's {field} {what}.",
        "Update its agent to the version of the vault.",
        field=field,
    )


def _replica_removed(message: orders_pb2.ReplicaRemoved) -> ReplicaRemoved:
    kept = _bounded(message.kept_paths, "kept_paths")
    return ReplicaRemoved(tuple(_text(path) for path in kept))


def _rehearsal_cleaned_up(message: orders_pb2.RehearsalCleanedUp) -> RehearsalCleanedUp:
    removed = _bounded(message.removed, "removed")
    return RehearsalCleanedUp(tuple(_text(name) for name in removed))


def _point_digests(message: orders_pb2.PointDigests) -> PointDigests:
    return PointDigests(tuple(map(_disk_digest, _bounded(message.disks, "disks"))))


_OUTCOMES: dict[str, Callable[[orders_pb2.OrderOutcome], Outcome]] = {
    "done": lambda _: Done(),
    "withdrawn": lambda _: Withdrawn(),
    "failure": lambda said: failure(said.failure),
    "replica_accepted": lambda said: ReplicaAccepted(_text(said.replica_accepted.path)),
    "replica_removed": lambda said: _replica_removed(said.replica_removed),
    "rehearsal_started": lambda said: _rehearsal_started(said.rehearsal_started),
    "rehearsal_cleaned_up": lambda said: _rehearsal_cleaned_up(said.rehearsal_cleaned_up),
    "point_digests": lambda said: _point_digests(said.point_digests),
    "point_exported": lambda said: PointExported(
        said.point_exported.path[:MAX_TEXT], _disk_digest(said.point_exported.disk)
    ),
    "point_named": lambda said: PointNamed(
        Generation(_text(said.point_named.generation)),
        _integer(said.point_named.sequence, "sequence"),
    ),
}
