"""What an order says, checked field by field: nothing of it is believed because the vault sent it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from agent.control.messages import networks_by_nic
from agent.failover.outcome import RehearsalRequest
from agent.replica.accepted import AcceptedReplica, Seed
from agent.replica.exporting import ExportRequest
from agent.source.assignment import Assignment, Compression, ThrottleWindow, check_assignment
from agent.source.state import MAX_POINT_NAME, NameRequest
from replikera.export_names import export_format
from replikera.wire.v1 import orders_pb2

MAX_GUEST_TIMEOUT = timedelta(hours=24)
MAX_COPY_FREQUENCY = timedelta(hours=24)
MAX_CONSISTENCY_INTERVAL = timedelta(hours=24)
MAX_NAME_CHARACTERS = 255
MAX_PATH_CHARACTERS = 4096
MAX_NICS = 64
MAX_SEQUENCE = (1 << 63) - 1

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COMPRESSIONS: dict[int, Compression] = {
    orders_pb2.COMPRESSION_UNSPECIFIED: Compression.OFF,
    orders_pb2.COMPRESSION_OFF: Compression.OFF,
    orders_pb2.COMPRESSION_ADAPTIVE: Compression.ADAPTIVE,
    orders_pb2.COMPRESSION_LZ4: Compression.LZ4,
    orders_pb2.COMPRESSION_ZSTD: Compression.ZSTD,
}


class OrderError(Exception):
    """The order says what no vault of this version says."""


@dataclass(frozen=True, slots=True)
class ReplicaTerms:
    """What a target is to keep, by which grant, and in which of its folders ("" for the default)."""

    accepted: AcceptedReplica
    grant: bytes
    storage_folder: str


@dataclass(frozen=True, slots=True)
class PointName:
    """One recovery point of a replica on this host."""

    protection_id: str
    generation: str
    sequence: int


def replica_terms(order: orders_pb2.AcceptReplica) -> ReplicaTerms:
    """Return what AcceptReplica says. Raises `OrderError`."""
    accepted = AcceptedReplica(
        protection_id=identifier(order.protection_id, "protection"),
        epoch=order.epoch.number,
        generation=order.epoch.generation,
        source_host_id=_text(order.source_host_id, "source host"),
        machine_id=_text(order.machine_id, "machine"),
        machine_name=_text(order.machine_name, "machine name"),
        retention=_span(order.retention, "retention"),
        seeds=tuple(Seed(seed.disk_name, seed.file_name) for seed in order.seeds),
    )
    if problem := accepted.problem():
        raise OrderError(problem)
    folder = order.storage_folder
    if folder:
        _text(folder, "storage folder", MAX_PATH_CHARACTERS)
    return ReplicaTerms(accepted, order.grant, folder)


def assignment(order: orders_pb2.StartReplication) -> Assignment:
    """Return what StartReplication says. Raises `OrderError` and `AssignmentError`."""
    assigned = Assignment(
        protection_id=order.protection_id,
        epoch=order.epoch.number,
        generation=order.epoch.generation,
        machine_id=_text(order.machine_id, "machine"),
        target_host_id=_text(order.target_host_id, "target host"),
        target_address=_text(order.target_address, "target address"),
        copy_frequency=_span_within(order.copy_frequency, "copy frequency", MAX_COPY_FREQUENCY),
        compression=_compression(order.compression),
        throttle=tuple(_window(window) for window in order.throttle),
        application_consistent_interval=_span_within(
            order.application_consistent_interval,
            "application-consistent interval",
            MAX_CONSISTENCY_INTERVAL,
        ),
        excluded_disk_ids=_disk_ids(order.excluded_disk_ids),
        is_paused=order.is_paused,
    )
    check_assignment(assigned)
    return assigned


def rehearsal_request(order_id: str, order: orders_pb2.StartRehearsal) -> RehearsalRequest:
    """Return what StartRehearsal says. Raises `OrderError`."""
    timeout = _span(order.guest_timeout, "guest timeout")
    if not timedelta(0) < timeout <= MAX_GUEST_TIMEOUT:
        raise OrderError(f"a guest timeout of {timeout} is out of range")
    _check_nics(order.nics)
    return RehearsalRequest(
        rehearsal_id=order.rehearsal_id,
        order_id=order_id,
        protection_id=order.protection_id,
        generation=order.generation,
        sequence=order.sequence,
        machine_name=_text(order.machine_name, "machine name"),
        networks=networks_by_nic(order.nics),
        guest_timeout=timeout,
        created_networks=_created_networks(order),
    )


def _created_networks(order: orders_pb2.StartRehearsal) -> tuple[str, ...]:
    used = {nic.network for nic in order.nics}
    if len(order.created_networks) > MAX_NICS or not used.issuperset(order.created_networks):
        raise OrderError("networks are to be made that no adapter is to be on")
    return tuple(_text(network, "network") for network in order.created_networks)


def point_name(order: orders_pb2.DigestPoint | orders_pb2.ExportPoint) -> PointName:
    """Return which point an order is about. Raises `OrderError`."""
    if not 0 < order.sequence <= MAX_SEQUENCE:
        raise OrderError(f"point {order.sequence} is out of range")
    return PointName(
        protection_id=identifier(order.protection_id, "protection"),
        generation=identifier(order.generation, "generation"),
        sequence=order.sequence,
    )


def name_request(order: orders_pb2.Order) -> NameRequest:
    """Return the name that a point is wanted with, by the order that wants it. Raises `OrderError`."""
    name = order.name_point.name
    if not 0 < len(name) <= MAX_POINT_NAME or not name.isprintable():
        raise OrderError(f"{name[:MAX_POINT_NAME]!r} is no name for a point")
    return NameRequest(identifier(order.order_id, "order"), name)


def export_request(order_id: str, order: orders_pb2.ExportPoint) -> tuple[PointName, ExportRequest]:
    """Return which point ExportPoint is about, and where its disk goes. Raises `OrderError`."""
    file_format = export_format(order.file_name)
    if file_format is None:
        raise OrderError(
            f"{order.file_name[:MAX_NAME_CHARACTERS]!r} is no plain name for a disk's file"
        )
    request = ExportRequest(order_id, order.sequence, order.disk, order.file_name, file_format)
    return point_name(order), request


def identifier(value: str, what: str) -> str:
    """Return an id, which may become the name of a file. Raises `OrderError`."""
    if not _UUID.fullmatch(value):
        raise OrderError(f"the {what} {value[:MAX_NAME_CHARACTERS]!r} is not a UUID")
    return value


def _compression(value: int) -> Compression:
    try:
        return _COMPRESSIONS[value]
    except KeyError as error:
        raise OrderError(f"this agent does not know compression {value}") from error


def _window(window: orders_pb2.ThrottleWindow) -> ThrottleWindow:
    return ThrottleWindow(
        weekdays=window.weekdays,
        start_minute=window.start_minute,
        end_minute=window.end_minute,
        bytes_per_second=window.bytes_per_second,
    )


def _disk_ids(disk_ids: Sequence[str]) -> tuple[str, ...]:
    for disk_id in disk_ids:
        _text(disk_id, "excluded disk")
    if len(set(disk_ids)) != len(disk_ids):
        raise OrderError("an excluded disk is named twice")
    return tuple(disk_ids)


def _check_nics(nics: Sequence[orders_pb2.NicConnection]) -> None:
    if len(nics) > MAX_NICS:
        raise OrderError(f"{len(nics)} adapters, the limit is {MAX_NICS}")
    for nic in nics:
        _text(nic.nic_id, "adapter")
        if nic.network:
            _text(nic.network, "network")
    if len({nic.nic_id for nic in nics}) != len(nics):
        raise OrderError("an adapter is named twice")


def _text(value: str, what: str, limit: int = MAX_NAME_CHARACTERS) -> str:
    if not value or len(value) > limit or not value.isprintable():
        raise OrderError(f"the {what} {value[:MAX_NAME_CHARACTERS]!r} is not a name")
    return value


def _span_within(message: Duration, what: str, longest: timedelta) -> timedelta:
    span = _span(message, what)
    if not timedelta(0) <= span <= longest:
        raise OrderError(f"{what}: {span} is out of range, the longest is {longest}")
    return span


def _span(message: Duration, what: str) -> timedelta:
    try:
        return message.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise OrderError(f"the {what} is not a duration") from error
