from collections.abc import Callable
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from agent.control.order_fields import (
    OrderError,
    PointName,
    assignment,
    identifier,
    point_name,
    rehearsal_request,
    replica_terms,
)
from agent.replica.accepted import Seed
from agent.source.assignment import Compression, ThrottleWindow
from agent.source.errors import AssignmentError
from replikera.wire.v1 import orders_pb2, types_pb2

PROTECTION = "33333333-0000-4000-8000-000000000003"
GENERATION = "44444444-0000-4000-8000-000000000004"
EPOCH = types_pb2.Epoch(number=1, generation=GENERATION)


def terms() -> orders_pb2.AcceptReplica:
    return orders_pb2.AcceptReplica(
        protection_id=PROTECTION,
        epoch=EPOCH,
        source_host_id="source",
        machine_id="m",
        machine_name="web01",
        retention=Duration(seconds=3600),
        storage_folder="/replicas/fast",
        seeds=[orders_pb2.Seed(disk_name="system.vhdx", file_name="web01.vhdx")],
    )


def replication() -> orders_pb2.StartReplication:
    return orders_pb2.StartReplication(
        protection_id=PROTECTION,
        epoch=EPOCH,
        machine_id="m",
        target_host_id="target",
        target_address="10.0.0.5:7404",
        copy_frequency=Duration(seconds=2, nanos=500_000_000),
        compression=orders_pb2.COMPRESSION_ADAPTIVE,
        throttle=[
            orders_pb2.ThrottleWindow(
                weekdays=31, start_minute=480, end_minute=1080, bytes_per_second=1 << 20
            )
        ],
        application_consistent_interval=Duration(seconds=7200),
        excluded_disk_ids=["disk-b"],
        is_paused=True,
    )


def rehearsal() -> orders_pb2.StartRehearsal:
    return orders_pb2.StartRehearsal(
        rehearsal_id="11111111-0000-4000-8000-000000000001",
        protection_id=PROTECTION,
        generation=GENERATION,
        sequence=7,
        machine_name="web01 - test",
        nics=[orders_pb2.NicConnection(nic_id="nic-0", network="Test")],
        guest_timeout=Duration(seconds=120),
    )


def point() -> orders_pb2.DigestPoint:
    return orders_pb2.DigestPoint(protection_id=PROTECTION, generation=GENERATION, sequence=7)


def test_terms_are_read_in_full() -> None:
    read = replica_terms(terms())
    assert read.storage_folder == "/replicas/fast"
    assert read.accepted.retention == timedelta(hours=1)
    assert read.accepted.seeds == (Seed("system.vhdx", "web01.vhdx"),)


def test_settings_of_a_replication_are_read_in_full() -> None:
    read = assignment(replication())
    assert read.copy_frequency == timedelta(seconds=2.5)
    assert read.compression is Compression.ADAPTIVE
    assert read.throttle == (ThrottleWindow(31, 480, 1080, 1 << 20),)
    assert read.application_consistent_interval == timedelta(hours=2)
    assert read.excluded_disk_ids == ("disk-b",)
    assert read.is_paused


def test_what_an_order_leaves_out_is_off() -> None:
    read = assignment(
        orders_pb2.StartReplication(
            protection_id=PROTECTION,
            epoch=EPOCH,
            machine_id="m",
            target_host_id="target",
            target_address="10.0.0.5:7404",
            copy_frequency=Duration(seconds=30),
        )
    )
    assert read.compression is Compression.OFF
    assert (read.throttle, read.excluded_disk_ids, read.is_paused) == ((), (), False)
    assert read.application_consistent_interval == timedelta()


def test_point_is_read() -> None:
    assert point_name(point()) == PointName(PROTECTION, GENERATION, 7)


SPOILED_TERMS: dict[str, Callable[[orders_pb2.AcceptReplica], object]] = {
    "protection that is a path": lambda o: setattr(o, "protection_id", "../../etc"),
    "generation that is no UUID": lambda o: setattr(o.epoch, "generation", "x"),
    "epoch 0": lambda o: setattr(o.epoch, "number", 0),
    "epoch beyond bounds": lambda o: setattr(o.epoch, "number", 1 << 63),
    "no source": lambda o: setattr(o, "source_host_id", ""),
    "no machine": lambda o: setattr(o, "machine_id", ""),
    "no machine name": lambda o: setattr(o, "machine_name", ""),
    "negative retention": lambda o: setattr(o.retention, "seconds", -1),
    "retention of two years": lambda o: setattr(o.retention, "seconds", 2 * 366 * 86400),
    "impossible retention": lambda o: setattr(o.retention, "seconds", 1 << 62),
    "folder with a line break": lambda o: setattr(o, "storage_folder", "/a\nb"),
    "folder without end": lambda o: setattr(o, "storage_folder", "/" * 4097),
    "seed without a file": lambda o: o.seeds.add(disk_name="d"),
    "seed without a disk": lambda o: o.seeds.add(file_name="f"),
    "seed in another folder": lambda o: o.seeds.add(disk_name="d", file_name="../f"),
    "seed on another drive": lambda o: o.seeds.add(disk_name="d", file_name="c:f"),
    "seed that is a share": lambda o: o.seeds.add(disk_name="d", file_name="\\\\h\\f"),
    "seed that is the folder": lambda o: o.seeds.add(disk_name="d", file_name=".."),
    "seed that nobody can read": lambda o: o.seeds.add(disk_name="d", file_name="a\x00"),
    "two seeds of a disk": lambda o: o.seeds.add(disk_name="system.vhdx", file_name="f"),
    "too many seeds": lambda o: o.seeds.extend(
        orders_pb2.Seed(disk_name=str(number), file_name="f") for number in range(64)
    ),
}


@pytest.mark.parametrize("spoil", SPOILED_TERMS.values(), ids=SPOILED_TERMS.keys())
def test_terms_that_make_no_sense_are_refused(
    spoil: Callable[[orders_pb2.AcceptReplica], object],
) -> None:
    order = terms()
    spoil(order)
    with pytest.raises(OrderError):
        replica_terms(order)


def window(**changes: int) -> orders_pb2.ThrottleWindow:
    fields = {"weekdays": 1, "start_minute": 0, "end_minute": 1, "bytes_per_second": 0}
    return orders_pb2.ThrottleWindow(**(fields | changes))


SPOILED_REPLICATIONS: dict[str, Callable[[orders_pb2.StartReplication], object]] = {
    "protection that is a path": lambda o: setattr(o, "protection_id", "../../etc"),
    "no target": lambda o: setattr(o, "target_host_id", ""),
    "no address": lambda o: setattr(o, "target_address", ""),
    "frequency 0": lambda o: o.ClearField("copy_frequency"),
    "negative frequency": lambda o: setattr(o.copy_frequency, "seconds", -5),
    "frequency of two days": lambda o: setattr(o.copy_frequency, "seconds", 2 * 86400),
    "impossible frequency": lambda o: setattr(o.copy_frequency, "seconds", 1 << 62),
    "negative consistency interval": lambda o: setattr(
        o.application_consistent_interval, "seconds", -7200
    ),
    "consistency interval of two days": lambda o: setattr(
        o.application_consistent_interval, "seconds", 2 * 86400
    ),
    "compression of a newer vault": lambda o: setattr(o, "compression", 9),
    "eighth day of the week": lambda o: o.throttle.append(window(weekdays=128)),
    "start after midnight": lambda o: o.throttle.append(window(start_minute=1440)),
    "end after midnight": lambda o: o.throttle.append(window(end_minute=1441)),
    "rate beyond bounds": lambda o: o.throttle.append(window(bytes_per_second=1 << 63)),
    "too many windows": lambda o: o.throttle.extend(window() for _ in range(64)),
    "disk without an id": lambda o: o.excluded_disk_ids.append(""),
    "disk twice": lambda o: o.excluded_disk_ids.append("disk-b"),
    "too many disks": lambda o: o.excluded_disk_ids.extend(str(n) for n in range(64)),
}


@pytest.mark.parametrize("spoil", SPOILED_REPLICATIONS.values(), ids=SPOILED_REPLICATIONS.keys())
def test_replication_that_makes_no_sense_is_refused(
    spoil: Callable[[orders_pb2.StartReplication], object],
) -> None:
    order = replication()
    spoil(order)
    with pytest.raises((OrderError, AssignmentError)):
        assignment(order)


SPOILED_REHEARSALS: dict[str, Callable[[orders_pb2.StartRehearsal], object]] = {
    "no timeout": lambda o: o.ClearField("guest_timeout"),
    "endless timeout": lambda o: setattr(o.guest_timeout, "seconds", 86401),
    "impossible timeout": lambda o: setattr(o.guest_timeout, "seconds", 1 << 62),
    "name with a line break": lambda o: setattr(o, "machine_name", "a\nb"),
    "no name": lambda o: setattr(o, "machine_name", ""),
    "long name": lambda o: setattr(o, "machine_name", "n" * 256),
    "adapter twice": lambda o: o.nics.add(nic_id="nic-0"),
    "too many adapters": lambda o: o.nics.extend(
        orders_pb2.NicConnection(nic_id=str(number)) for number in range(64)
    ),
    "network that is no name": lambda o: setattr(o.nics[0], "network", "\x00"),
}


@pytest.mark.parametrize("spoil", SPOILED_REHEARSALS.values(), ids=SPOILED_REHEARSALS.keys())
def test_rehearsal_that_makes_no_sense_is_refused(
    spoil: Callable[[orders_pb2.StartRehearsal], object],
) -> None:
    order = rehearsal()
    spoil(order)
    with pytest.raises(OrderError):
        rehearsal_request("order", order)


SPOILED_POINTS: dict[str, Callable[[orders_pb2.DigestPoint], object]] = {
    "no protection": lambda o: setattr(o, "protection_id", ""),
    "generation that is no UUID": lambda o: setattr(o, "generation", "x"),
    "point 0": lambda o: setattr(o, "sequence", 0),
    "point beyond bounds": lambda o: setattr(o, "sequence", 1 << 63),
}


@pytest.mark.parametrize("spoil", SPOILED_POINTS.values(), ids=SPOILED_POINTS.keys())
def test_point_that_cannot_be_is_refused(
    spoil: Callable[[orders_pb2.DigestPoint], object],
) -> None:
    order = point()
    spoil(order)
    with pytest.raises(OrderError):
        point_name(order)


@pytest.mark.parametrize("text", ["", "x", PROTECTION.upper().replace("3", "A"), PROTECTION + "\n"])
def test_id_is_a_lower_case_uuid(text: str) -> None:
    with pytest.raises(OrderError, match="verification"):
        identifier(text, "verification")
