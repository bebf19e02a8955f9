from datetime import UTC, datetime, timedelta

import pytest

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
from coordinator.domain.orders import (
    AcceptReplica,
    Action,
    CleanUpRehearsal,
    DigestPoint,
    ExportPoint,
    NamePoint,
    NicConnection,
    Order,
    RemoveReplica,
    ResyncReplication,
    Seed,
    StartRehearsal,
    StartReplication,
    StopReplication,
    VerifyReplication,
)
from coordinator.domain.throttle import ThrottleWindow
from coordinator.orchestration.introductions import Introduction
from coordinator.rpc import messages
from coordinator.store.history import Anchor
from replikera.wire.v1 import orders_pb2, trust_pb2
from tests.unit.coordinator.examples import LATER, NOW

HOST = HostId("host-1")
ANCHOR = Anchor(12, b"d" * 32)


def order(action: Action) -> orders_pb2.Order:
    given = Order(OrderId("o"), JobId("j"), HOST, NOW, action)
    message = messages.order_message(given, ANCHOR, b"grant")
    assert (message.order_id, message.job_id) == ("o", "j")
    assert message.issued_at.ToDatetime(tzinfo=UTC) == NOW
    assert (message.control_version, message.control_digest) == (12, b"d" * 32)
    return message


def test_every_order_says_what_was_decided() -> None:
    accept = order(
        AcceptReplica(
            ProtectionId("p"),
            2,
            Generation("g"),
            HostId("s"),
            MachineId("m"),
            "web",
            timedelta(hours=3),
        )
    ).accept_replica
    assert (accept.protection_id, accept.source_host_id) == ("p", "s")
    assert (accept.epoch.number, accept.epoch.generation) == (2, "g")
    assert (accept.machine_id, accept.machine_name) == ("m", "web")
    assert accept.retention.ToTimedelta() == timedelta(hours=3)
    assert accept.grant == b"grant"
    start = order(
        StartReplication(
            ProtectionId("p"),
            2,
            Generation("g"),
            MachineId("m"),
            HostId("t"),
            "t:1",
            timedelta(seconds=5),
        )
    ).start_replication
    assert (start.protection_id, start.machine_id) == ("p", "m")
    assert (start.epoch.number, start.epoch.generation) == (2, "g")
    assert (start.target_host_id, start.target_address) == ("t", "t:1")
    assert start.copy_frequency.ToTimedelta() == timedelta(seconds=5)
    assert start.grant == b"grant"
    nics = (NicConnection("n", "bubble"), NicConnection("m", ""))
    rehearse = order(
        StartRehearsal(
            RehearsalId("r"),
            ProtectionId("p"),
            Generation("g"),
            9,
            "web - test",
            nics,
            timedelta(seconds=60),
        )
    ).start_rehearsal
    assert (rehearse.rehearsal_id, rehearse.protection_id) == ("r", "p")
    assert (rehearse.generation, rehearse.sequence) == ("g", 9)
    assert rehearse.machine_name == "web - test"
    assert [(nic.nic_id, nic.network) for nic in rehearse.nics] == [("n", "bubble"), ("m", "")]
    assert rehearse.guest_timeout.ToTimedelta() == timedelta(seconds=60)
    clean = order(CleanUpRehearsal(RehearsalId("r"), ProtectionId("p"))).clean_up_rehearsal
    assert (clean.rehearsal_id, clean.protection_id) == ("r", "p")
    name = order(NamePoint(ProtectionId("p"), "patch day")).name_point
    assert (name.protection_id, name.name) == ("p", "patch day")
    export = order(ExportPoint(ProtectionId("p"), Generation("g"), 9, 1, "web.raw")).export_point
    assert (export.protection_id, export.generation, export.sequence) == ("p", "g", 9)
    assert (export.disk, export.file_name) == (1, "web.raw")
    digest = order(DigestPoint(ProtectionId("p"), Generation("g"), 9)).digest_point
    assert (digest.protection_id, digest.generation, digest.sequence) == ("p", "g", 9)


def test_all_terms_of_a_replica_go_to_its_target() -> None:
    accept = order(
        AcceptReplica(
            ProtectionId("p"),
            1,
            Generation("g"),
            HostId("s"),
            MachineId("m"),
            "web",
            timedelta(0),
            "/fast",
            (Seed("os.vhdx", "copy.vhdx"),),
        )
    ).accept_replica
    assert accept.storage_folder == "/fast"
    assert [(seed.disk_name, seed.file_name) for seed in accept.seeds] == [("os.vhdx", "copy.vhdx")]


@pytest.mark.parametrize(
    ("compression", "wire"),
    [
        (Compression.OFF, orders_pb2.COMPRESSION_OFF),
        (Compression.ADAPTIVE, orders_pb2.COMPRESSION_ADAPTIVE),
        (Compression.LZ4, orders_pb2.COMPRESSION_LZ4),
        (Compression.ZSTD, orders_pb2.COMPRESSION_ZSTD),
    ],
)
def test_all_settings_of_replication_go_to_its_source(compression: Compression, wire: int) -> None:
    start = order(
        StartReplication(
            ProtectionId("p"),
            1,
            Generation("g"),
            MachineId("m"),
            HostId("t"),
            "t:1",
            timedelta(seconds=5),
            compression,
            (ThrottleWindow(31, 480, 1080, 7), ThrottleWindow(127, 0, 1440, 0)),
            timedelta(hours=4),
            ("disk-2",),
            is_paused=True,
        )
    ).start_replication
    assert int(start.compression) == wire
    assert [
        (item.weekdays, item.start_minute, item.end_minute, item.bytes_per_second)
        for item in start.throttle
    ] == [(31, 480, 1080, 7), (127, 0, 1440, 0)]
    assert start.application_consistent_interval.ToTimedelta() == timedelta(hours=4)
    assert list(start.excluded_disk_ids) == ["disk-2"]
    assert start.is_paused


def test_what_follows_after_the_start_names_its_protection() -> None:
    name = ProtectionId("p")
    assert order(ResyncReplication(name)).resync_replication.protection_id == "p"
    assert order(StopReplication(name)).stop_replication.protection_id == "p"
    verify = order(VerifyReplication(name, "v")).verify_replication
    assert (verify.protection_id, verify.verification_id) == ("p", "v")
    for keep in (True, False):
        remove = order(RemoveReplica(name, keep_disks=keep)).remove_replica
        assert (remove.protection_id, remove.keep_disks) == ("p", keep)


def test_a_withdrawn_order_is_never_sent_as_an_order() -> None:
    action = CleanUpRehearsal(RehearsalId("r"), ProtectionId("p"))
    given = Order(OrderId("o"), JobId("j"), HOST, NOW, action)
    assert messages.order_answer(given, ANCHOR, b"").order.order_id == "o"
    answer = messages.order_answer(given.withdrawn(LATER), ANCHOR, b"")
    assert answer.WhichOneof("message") == "withdraw"
    assert answer.withdraw.order_id == "o"


@pytest.mark.parametrize("is_reconciling", [False, True])
def test_a_host_is_welcomed_with_the_place_in_the_history(is_reconciling: bool) -> None:
    introduction = Introduction(ANCHOR, is_reconciling, wants_deny_list=False)
    welcome = messages.welcome(HOST, introduction, NOW).welcome
    assert (welcome.host_id, welcome.control_version) == ("host-1", 12)
    assert (welcome.control_digest, welcome.is_reconciling) == (b"d" * 32, is_reconciling)
    assert welcome.now.ToDatetime(tzinfo=UTC) == NOW


def test_signed_documents_travel_as_they_were_signed() -> None:
    signed = trust_pb2.Signed(content=b"c", signature=b"s", certificate_chain=b"p")
    told = messages.deny_list(signed.SerializeToString(deterministic=True))
    assert told.deny_list == signed
    grant = messages.grant(ProtectionId("p"), b"signed").grant
    assert (grant.protection_id, grant.grant) == ("p", b"signed")


def test_a_time_keeps_its_microseconds() -> None:
    moment = datetime(2026, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
    assert messages.timestamp(moment).ToDatetime(tzinfo=UTC) == moment
