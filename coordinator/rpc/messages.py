"""What hosts are told: domain to protobuf."""

from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from coordinator.domain.compression import Compression
from coordinator.domain.identifiers import HostId, ProtectionId
from coordinator.domain.orders import (
    AcceptReplica,
    Action,
    CleanUpRehearsal,
    DigestPoint,
    ExportPoint,
    NamePoint,
    Order,
    RemoveReplica,
    ResyncReplication,
    StartRehearsal,
    StartReplication,
    StopReplication,
    VerifyReplication,
)
from coordinator.domain.throttle import ThrottleWindow
from coordinator.orchestration.introductions import Introduction
from coordinator.store.history import Anchor
from replikera.wire.v1 import orders_pb2, session_pb2, trust_pb2, types_pb2

Answer = session_pb2.SessionResponse

_COMPRESSIONS = {
    Compression.OFF: orders_pb2.COMPRESSION_OFF,
    Compression.ADAPTIVE: orders_pb2.COMPRESSION_ADAPTIVE,
    Compression.LZ4: orders_pb2.COMPRESSION_LZ4,
    Compression.ZSTD: orders_pb2.COMPRESSION_ZSTD,
}


def timestamp(moment: datetime) -> Timestamp:
    """Return an aware time as protobuf has it."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def welcome(host_id: HostId, introduction: Introduction, now: datetime) -> Answer:
    """Return the answer to Hello."""
    return Answer(
        welcome=session_pb2.Welcome(
            host_id=host_id,
            control_version=introduction.anchor.number,
            control_digest=introduction.anchor.digest,
            now=timestamp(now),
            is_reconciling=introduction.is_reconciling,
        )
    )


def deny_list(signed: bytes) -> Answer:
    """Return a deny-list, to be obeyed from now on."""
    return Answer(deny_list=trust_pb2.Signed.FromString(signed))


def grant(protection_id: ProtectionId, signed: bytes) -> Answer:
    """Return a grant, to be presented from now on."""
    return Answer(grant=session_pb2.GrantUpdate(protection_id=protection_id, grant=signed))


def order_answer(order: Order, anchor: Anchor, signed_grant: bytes) -> Answer:
    """Return an order, or that it is not to be begun."""
    if order.withdrawn_at is not None:
        return Answer(withdraw=session_pb2.WithdrawOrder(order_id=order.id))
    return Answer(order=order_message(order, anchor, signed_grant))


def order_message(order: Order, anchor: Anchor, grant: bytes) -> orders_pb2.Order:
    """Return an order as hosts understand it: at this place of the history, with the newest grant if it needs one."""
    message = orders_pb2.Order(
        order_id=order.id,
        job_id=order.job_id,
        issued_at=timestamp(order.issued_at),
        control_version=anchor.number,
        control_digest=anchor.digest,
    )
    if not _fill_for_source(message, order.action, grant):
        _fill_for_target(message, order.action, grant)
    return message


def _fill_for_source(message: orders_pb2.Order, action: Action, grant: bytes) -> bool:
    """Put in what a source does; return False for anything else."""
    match action:
        case StartReplication():
            message.start_replication.CopyFrom(_start_replication(action, grant))
        case ResyncReplication():
            message.resync_replication.protection_id = action.protection_id
        case VerifyReplication():
            message.verify_replication.protection_id = action.protection_id
            message.verify_replication.verification_id = action.verification_id
        case StopReplication():
            message.stop_replication.protection_id = action.protection_id
        case NamePoint():
            message.name_point.protection_id = action.protection_id
            message.name_point.name = action.name
        case _:
            return False
    return True


def _fill_for_target(message: orders_pb2.Order, action: Action, grant: bytes) -> None:
    match action:
        case AcceptReplica():
            message.accept_replica.CopyFrom(_accept_replica(action, grant))
        case RemoveReplica():
            message.remove_replica.protection_id = action.protection_id
            message.remove_replica.keep_disks = action.keep_disks
        case StartRehearsal():
            message.start_rehearsal.CopyFrom(_start_rehearsal(action))
        case CleanUpRehearsal():
            message.clean_up_rehearsal.rehearsal_id = action.rehearsal_id
            message.clean_up_rehearsal.protection_id = action.protection_id
        case DigestPoint():
            message.digest_point.protection_id = action.protection_id
            message.digest_point.generation = action.generation
            message.digest_point.sequence = action.sequence
        case ExportPoint():
            message.export_point.protection_id = action.protection_id
            message.export_point.generation = action.generation
            message.export_point.sequence = action.sequence
            message.export_point.disk = action.disk
            message.export_point.file_name = action.file_name
        case _:
            raise AssertionError(f"nobody carries out {action}")


def _accept_replica(action: AcceptReplica, grant: bytes) -> orders_pb2.AcceptReplica:
    return orders_pb2.AcceptReplica(
        protection_id=action.protection_id,
        epoch=types_pb2.Epoch(number=action.epoch_number, generation=action.generation),
        source_host_id=action.source_host_id,
        machine_id=action.machine_id,
        machine_name=action.machine_name,
        retention=_duration(action.retention),
        grant=grant,
        storage_folder=action.storage_folder,
        seeds=[
            orders_pb2.Seed(disk_name=seed.disk_name, file_name=seed.file_name)
            for seed in action.seeds
        ],
    )


def _start_replication(action: StartReplication, grant: bytes) -> orders_pb2.StartReplication:
    return orders_pb2.StartReplication(
        protection_id=action.protection_id,
        epoch=types_pb2.Epoch(number=action.epoch_number, generation=action.generation),
        machine_id=action.machine_id,
        target_host_id=action.target_host_id,
        target_address=action.target_address,
        copy_frequency=_duration(action.copy_frequency),
        grant=grant,
        compression=_COMPRESSIONS[action.compression],
        throttle=map(_throttle_window, action.throttle),
        application_consistent_interval=_duration(action.application_consistent_interval),
        excluded_disk_ids=action.excluded_disk_ids,
        is_paused=action.is_paused,
    )


def _throttle_window(window: ThrottleWindow) -> orders_pb2.ThrottleWindow:
    return orders_pb2.ThrottleWindow(
        weekdays=window.weekdays,
        start_minute=window.start_minute,
        end_minute=window.end_minute,
        bytes_per_second=window.bytes_per_second,
    )


def _start_rehearsal(action: StartRehearsal) -> orders_pb2.StartRehearsal:
    return orders_pb2.StartRehearsal(
        rehearsal_id=action.rehearsal_id,
        protection_id=action.protection_id,
        generation=action.generation,
        sequence=action.sequence,
        machine_name=action.machine_name,
        nics=[
            orders_pb2.NicConnection(nic_id=nic.nic_id, network=nic.network) for nic in action.nics
        ],
        guest_timeout=_duration(action.guest_timeout),
        created_networks=action.created_networks,
    )


def _duration(span: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(span)
    return message
