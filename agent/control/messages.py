"""Between the agent's own values and the wire's messages: the only place that knows both."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from agent.failover.outcome import RehearsalCleanedUp, RehearsalStarted
from agent.hypervisor.interface import Hypervisor, Inventory
from agent.replica.exporting import ExportedDisk
from agent.replica.point_digests import DiskDigest
from agent.replica.points import SealedPoint
from agent.source.status import (
    Failure,
    ReplicationState,
    ReplicationStatus,
    VerificationStatus,
)
from replikera.blocks.segment import PointKind
from replikera.wire.v1 import orders_pb2, session_pb2, types_pb2

_STATES = {
    ReplicationState.INITIAL: session_pb2.REPLICATION_STATE_INITIAL,
    ReplicationState.REPLICATING: session_pb2.REPLICATION_STATE_REPLICATING,
    ReplicationState.WAITING: session_pb2.REPLICATION_STATE_WAITING,
    ReplicationState.RESYNC_REQUIRED: session_pb2.REPLICATION_STATE_RESYNC_REQUIRED,
    ReplicationState.RESYNCHRONIZING: session_pb2.REPLICATION_STATE_RESYNCHRONIZING,
    ReplicationState.PAUSED: session_pb2.REPLICATION_STATE_PAUSED,
}
_KINDS = {
    PointKind.CRASH_CONSISTENT: types_pb2.POINT_KIND_CRASH_CONSISTENT,
    PointKind.APPLICATION_CONSISTENT: types_pb2.POINT_KIND_APPLICATION_CONSISTENT,
    PointKind.NAMED: types_pb2.POINT_KIND_NAMED,
}


def timestamp(instant: datetime) -> Timestamp:
    """Return the message of an instant."""
    message = Timestamp()
    message.FromDatetime(instant)
    return message


def host_facts(
    hypervisor: Hypervisor,
    name: str,
    cloud: str,
    replication_address: str,
    replica_folders: Iterable[Path],
) -> types_pb2.HostFacts:
    """Return what this host says of itself."""
    return types_pb2.HostFacts(
        name=name,
        cloud=cloud,
        hypervisor=hypervisor.kind,
        agent_version=version("replikera"),
        replication_address=replication_address,
        minimum_copy_interval_ms=round(hypervisor.minimum_copy_interval_s * 1000),
        replica_folders=map(str, replica_folders),
        storage_path=str(hypervisor.storage_path),
    )


def inventory_message(inventory: Inventory) -> session_pb2.Inventory:
    """Return the message of an inventory."""
    return session_pb2.Inventory(
        machines=[
            types_pb2.Machine(
                machine_id=machine.description.machine_id,
                name=machine.description.name,
                description=machine.description.to_json(),
                is_running=machine.is_running,
            )
            for machine in inventory.machines
        ],
        networks=[
            types_pb2.Network(
                name=network.name, is_isolated=network.is_isolated, subnets=network.subnets
            )
            for network in inventory.networks
        ],
    )


def replication_message(status: ReplicationStatus) -> session_pb2.ReplicationReport:
    """Return the message of how a replication stands."""
    message = session_pb2.ReplicationReport(
        protection_id=status.protection_id,
        state=_STATES[status.state],
        done_bytes=status.done_bytes,
        total_bytes=status.total_bytes,
        rate=status.rate,
        acknowledged_sequence=status.acknowledged_sequence,
        sent_bytes=status.sent_bytes,
        failure=_told(status.failure),
        warning=_told(status.warning),
        verification=_verification_message(status.verification),
    )
    if status.compared_at is not None:
        message.compared_at.CopyFrom(timestamp(status.compared_at))
    if status.acknowledged_capture_started_at is not None:
        message.acknowledged_capture_started_at.CopyFrom(
            timestamp(status.acknowledged_capture_started_at)
        )
    return message


def _told(failure: Failure | None) -> types_pb2.Failure | None:
    if failure is None:
        return None
    return failure_message(failure.code, failure.cause, failure.remedy)


def _verification_message(
    verification: VerificationStatus | None,
) -> session_pb2.Verification | None:
    if verification is None:
        return None
    finished_at = verification.finished_at
    return session_pb2.Verification(
        verification_id=verification.verification_id,
        checked_bytes=verification.checked_bytes,
        total_bytes=verification.total_bytes,
        differing_bytes=verification.differing_bytes,
        is_finished=verification.is_finished,
        finished_at=None if finished_at is None else timestamp(finished_at),
    )


def point_message(point: SealedPoint) -> types_pb2.RecoveryPoint:
    """Return the message of a recovery point."""
    return types_pb2.RecoveryPoint(
        generation=point.generation,
        sequence=point.sequence,
        kind=_KINDS[point.kind],
        name=point.name,
        capture_started_at=timestamp(point.capture_started_at),
        capture_ended_at=timestamp(point.capture_ended_at),
        sealed_at=timestamp(point.sealed_at),
        payload_bytes=point.payload_bytes,
        chain_digest=point.chain_digest,
    )


def failure_message(code: str, cause: str, remedy: str) -> types_pb2.Failure:
    """Return the message of a failure."""
    return types_pb2.Failure(code=code, cause=cause, remedy=remedy)


def failed(order_id: str, failure: types_pb2.Failure) -> orders_pb2.OrderOutcome:
    """Return the outcome of an order that failed."""
    return orders_pb2.OrderOutcome(order_id=order_id, failure=failure)


def started_message(started: RehearsalStarted) -> orders_pb2.RehearsalStarted:
    """Return the message of a started rehearsal."""
    return orders_pb2.RehearsalStarted(
        machine_id=started.machine_id,
        disks=[
            orders_pb2.RecoveredDisk(disk_id=disk.disk_id, path=str(disk.path), size=disk.size)
            for disk in started.disks
        ],
        steps=[
            types_pb2.Measurement(name=step.name, seconds=step.seconds) for step in started.steps
        ],
        guest=orders_pb2.GuestReport(
            is_healthy=started.guest.is_healthy,
            summary=started.guest.summary,
            records=started.guest.records,
        ),
        nics=[
            orders_pb2.NicConnection(nic_id=nic_id, network=network)
            for nic_id, network in started.networks.items()
        ],
    )


def digests_message(digests: Iterable[DiskDigest]) -> orders_pb2.PointDigests:
    """Return the message of what a point's disks hold."""
    return orders_pb2.PointDigests(
        disks=[
            orders_pb2.DiskDigest(
                disk_id=disk.disk_id, name=disk.name, size=disk.size, sha256=disk.sha256
            )
            for disk in digests
        ]
    )


def exported_message(exported: ExportedDisk) -> orders_pb2.PointExported:
    """Return the message of a disk that was written as a file of its own."""
    digests = digests_message((exported.digest,))
    return orders_pb2.PointExported(path=str(exported.path), disk=digests.disks[0])


def cleaned_up_message(cleaned_up: RehearsalCleanedUp) -> orders_pb2.RehearsalCleanedUp:
    """Return the message of a removed rehearsal."""
    return orders_pb2.RehearsalCleanedUp(removed=cleaned_up.removed)


def networks_by_nic(nics: Iterable[orders_pb2.NicConnection]) -> Mapping[str, str]:
    """Return ordered networks by adapter id."""
    return {nic.nic_id: nic.network for nic in nics}
