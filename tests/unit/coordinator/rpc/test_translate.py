import math
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from coordinator.domain.errors import InvalidValueError
from coordinator.domain.hello import HeldProtection, HeldRehearsal
from coordinator.domain.hosts import AgentRun
from coordinator.domain.identifiers import (
    Generation,
    HostId,
    MachineId,
    ProtectionId,
    RehearsalId,
)
from coordinator.domain.orders import (
    DiskDigest,
    Done,
    Failure,
    GuestReport,
    Measurement,
    NicConnection,
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
from coordinator.domain.points import Covered, PointKind
from coordinator.domain.replication import ReplicationState, Verification
from coordinator.rpc import messages, translate
from replikera.wire.v1 import orders_pb2, session_pb2, types_pb2
from tests.unit.coordinator.examples import DESCRIPTION, NOW

HOST = HostId("host-1")
TOO_LARGE = 1 << 63


def point(**more: Any) -> types_pb2.RecoveryPoint:
    values: dict[str, Any] = {
        "generation": "g",
        "sequence": 3,
        "kind": types_pb2.POINT_KIND_NAMED,
        "name": "before patch day",
        "capture_started_at": messages.timestamp(NOW),
        "capture_ended_at": messages.timestamp(NOW + timedelta(seconds=1)),
        "sealed_at": messages.timestamp(NOW + timedelta(seconds=2)),
        "payload_bytes": 4096,
        "chain_digest": b"d" * 32,
    }
    return types_pb2.RecoveryPoint(**values | more)


def points(*items: types_pb2.RecoveryPoint, **more: Any) -> session_pb2.RecoveryPointReport:
    return session_pb2.RecoveryPointReport(
        protection_id="p", generation="g", points=items, number=7, **more
    )


def test_every_outcome_is_understood() -> None:
    def outcome(**result: Any) -> object:
        return translate.outcome(orders_pb2.OrderOutcome(order_id="o", **result))

    assert outcome(done=orders_pb2.Done()) == Done()
    failure = types_pb2.Failure(code="c", cause="Cause.", remedy="Remedy.")
    assert outcome(failure=failure) == Failure("c", "Cause.", "Remedy.")
    removed = orders_pb2.RehearsalCleanedUp(removed=["a", "b"])
    assert outcome(rehearsal_cleaned_up=removed) == RehearsalCleanedUp(("a", "b"))
    started = orders_pb2.RehearsalStarted(
        machine_id="m",
        disks=[orders_pb2.RecoveredDisk(disk_id="d", path="/r/d.vhdx", size=5)],
        steps=[types_pb2.Measurement(name="boot", seconds=1.5)],
        guest=orders_pb2.GuestReport(is_healthy=True, summary="ok", records=4),
        nics=[orders_pb2.NicConnection(nic_id="n", network="bubble")],
    )
    assert outcome(rehearsal_started=started) == RehearsalStarted(
        MachineId("m"),
        (RecoveredDisk("d", "/r/d.vhdx", 5),),
        (Measurement("boot", 1.5),),
        GuestReport(is_healthy=True, summary="ok", records=4),
        (NicConnection("n", "bubble"),),
    )
    read = orders_pb2.PointDigests(
        disks=[orders_pb2.DiskDigest(disk_id="d", name="d.vhdx", size=5, sha256=b"\xab" * 32)]
    )
    written = orders_pb2.PointExported(path="/e/web.raw", disk=read.disks[0])
    told = PointExported("/e/web.raw", DiskDigest("d", "d.vhdx", 5, "ab" * 32))
    assert outcome(point_exported=written) == told
    named = orders_pb2.PointNamed(generation="g", sequence=5)
    assert outcome(point_named=named) == PointNamed(Generation("g"), 5)
    assert outcome(point_digests=read) == PointDigests((DiskDigest("d", "d.vhdx", 5, "ab" * 32),))
    silent = translate.outcome(
        orders_pb2.OrderOutcome(rehearsal_started=orders_pb2.RehearsalStarted(machine_id="m"))
    )
    assert isinstance(silent, RehearsalStarted)
    assert silent.guest is None


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"replica_removed": orders_pb2.ReplicaRemoved(kept_paths=["x"] * 1025)},
        {"rehearsal_cleaned_up": orders_pb2.RehearsalCleanedUp(removed=["x"] * 1025)},
        {
            "rehearsal_started": orders_pb2.RehearsalStarted(
                steps=[types_pb2.Measurement(seconds=-1)]
            )
        },
        {
            "rehearsal_started": orders_pb2.RehearsalStarted(
                steps=[types_pb2.Measurement(seconds=math.nan)]
            )
        },
        {
            "rehearsal_started": orders_pb2.RehearsalStarted(
                disks=[orders_pb2.RecoveredDisk(size=TOO_LARGE)]
            )
        },
        {"point_digests": orders_pb2.PointDigests(disks=[orders_pb2.DiskDigest(sha256=b"x")])},
        {"point_exported": orders_pb2.PointExported(path="/e")},
        {"point_named": orders_pb2.PointNamed(generation="g", sequence=TOO_LARGE)},
        {
            "point_digests": orders_pb2.PointDigests(
                disks=[orders_pb2.DiskDigest(sha256=b"x" * 32, size=TOO_LARGE)]
            )
        },
        {
            "point_digests": orders_pb2.PointDigests(
                disks=[orders_pb2.DiskDigest(sha256=b"x" * 32)] * 1025
            )
        },
    ],
)
def test_an_outcome_that_makes_no_sense_is_refused(result: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        translate.outcome(orders_pb2.OrderOutcome(**result))


def test_what_a_host_says_cannot_play_with_a_terminal() -> None:
    said = translate.failure(
        types_pb2.Failure(code="c", cause="\x1b[2Jgone\nfor ever", remedy="y" * 5000)
    )
    assert said.cause == "[2Jgone for ever"
    assert len(said.remedy) == translate.MAX_TEXT
    empty = translate.failure(types_pb2.Failure())
    assert empty.code
    assert empty.cause
    assert empty.remedy


def test_an_inventory_is_that_of_the_host_that_sent_it() -> None:
    message = session_pb2.Inventory(
        machines=[
            types_pb2.Machine(
                machine_id="machine-1",
                name="web",
                is_running=True,
                description=DESCRIPTION.to_json(),
            )
        ],
        networks=[types_pb2.Network(name="lan", is_isolated=True, subnets=["10.0.0.0/8"])],
    )
    found = translate.inventory(HOST, message)
    (machine,), (network,) = found.machines, found.networks
    assert (machine.id, machine.name, machine.host_id) == ("machine-1", "web", HOST)
    assert machine.is_running
    assert machine.description == DESCRIPTION
    assert (network.name, network.host_id, network.is_isolated) == ("lan", HOST, True)
    assert network.subnets == ("10.0.0.0/8",)


@pytest.mark.parametrize(
    "machine",
    [
        types_pb2.Machine(machine_id="machine-1", name="web", description=b"{"),
        types_pb2.Machine(machine_id="other", name="web", description=DESCRIPTION.to_json()),
        types_pb2.Machine(machine_id="machine-1", name="db", description=DESCRIPTION.to_json()),
    ],
)
def test_a_machine_that_its_description_contradicts_is_refused(machine: types_pb2.Machine) -> None:
    with pytest.raises(InvalidValueError, match="machines"):
        translate.inventory(HOST, session_pb2.Inventory(machines=[machine]))


def test_facts_and_progress_are_taken_over() -> None:
    facts = translate.host_facts(
        types_pb2.HostFacts(
            cloud="gold",
            hypervisor="hyperv",
            agent_version="1",
            replication_address="a:1",
            minimum_copy_interval_ms=1500,
            replica_folders=["/r", "/s"],
        )
    )
    assert facts.replica_folders == ("/r", "/s")
    assert facts.minimum_copy_interval == timedelta(milliseconds=1500)
    assert (facts.cloud, facts.hypervisor, facts.agent_version) == ("gold", "hyperv", "1")
    for number in (TOO_LARGE, TOO_LARGE - 1):
        with pytest.raises(InvalidValueError):
            translate.host_facts(types_pb2.HostFacts(minimum_copy_interval_ms=number))
    step = translate.progress(
        orders_pb2.OrderProgress(order_id="o", step="copy", done_bytes=1, total_bytes=2)
    )
    assert (step.order_id, step.step, step.done_bytes, step.total_bytes) == ("o", "copy", 1, 2)


def test_a_report_of_replication_is_dated_by_the_vault() -> None:
    message = session_pb2.ReplicationReport(
        protection_id="p",
        state=session_pb2.REPLICATION_STATE_WAITING,
        failure=types_pb2.Failure(code="c", cause="Cause.", remedy="Remedy."),
        done_bytes=1,
        total_bytes=2,
        rate=3.5,
        acknowledged_capture_started_at=messages.timestamp(NOW),
        acknowledged_sequence=4,
    )
    report = translate.replication_report(message, NOW)
    assert (report.state, report.reported_at) == (ReplicationState.WAITING, NOW)
    assert report.failure == Failure("c", "Cause.", "Remedy.")
    assert (report.acknowledged_capture_started_at, report.acknowledged_sequence) == (NOW, 4)
    assert (report.done_bytes, report.total_bytes, report.rate) == (1, 2, 3.5)
    message.ClearField("failure")
    message.ClearField("acknowledged_capture_started_at")
    plain = translate.replication_report(message, NOW)
    assert (plain.failure, plain.acknowledged_capture_started_at) == (None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": session_pb2.REPLICATION_STATE_UNSPECIFIED},
        {"rate": math.inf},
        {"done_bytes": TOO_LARGE},
        {"acknowledged_sequence": TOO_LARGE},
        {"acknowledged_capture_started_at": Timestamp(seconds=10**15)},
        {"acknowledged_capture_started_at": Timestamp(nanos=-5)},
    ],
)
def test_a_report_of_replication_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    values: dict[str, Any] = {"protection_id": "p", "state": session_pb2.REPLICATION_STATE_INITIAL}
    with pytest.raises(InvalidValueError):
        translate.replication_report(session_pb2.ReplicationReport(**values | wrong), NOW)


def test_a_report_of_points_is_taken_over_whole() -> None:
    bounds = {"covers_from": 3, "covers_to": 9, "processed_sequence": 5}
    report = translate.point_report(points(point(), released=[1, 2], **bounds))
    assert (report.protection_id, report.generation, report.number) == ("p", "g", 7)
    assert (report.released, report.covered, report.processed) == ((1, 2), Covered(3, 9), 5)
    (found,) = report.points
    assert (found.sequence, found.kind, found.name) == (3, PointKind.NAMED, "before patch day")
    assert (found.capture_started_at, found.sealed_at) == (NOW, NOW + timedelta(seconds=2))
    assert (found.payload_bytes, found.chain_digest) == (4096, b"d" * 32)


@pytest.mark.parametrize(
    "message",
    [
        points(point(), point()),
        points(point(generation="other")),
        points(point(kind=types_pb2.POINT_KIND_UNSPECIFIED)),
        points(point(sequence=TOO_LARGE)),
        points(point(sealed_at=Timestamp(seconds=-(10**15)))),
        points(released=[TOO_LARGE]),
        points(processed_sequence=TOO_LARGE),
    ],
)
def test_a_report_of_points_that_makes_no_sense_is_refused(
    message: session_pb2.RecoveryPointReport,
) -> None:
    with pytest.raises(InvalidValueError):
        translate.point_report(message)


def test_what_a_host_says_first_is_taken_over_whole() -> None:
    message = session_pb2.Hello(
        facts=types_pb2.HostFacts(name="a1", hypervisor="hyperv"),
        control_version=7,
        control_digest=b"d" * 32,
        start_count=3,
        run_id="run-3",
        deny_list_version=2,
        protections=[
            session_pb2.HeldProtection(
                protection_id="p",
                epoch=types_pb2.Epoch(number=4, generation="g"),
                is_source=True,
                machine_id="m",
                machine_name="web\x1b[2J",
                peer_host_id="b",
                grant_version=5,
            )
        ],
        rehearsals=[
            session_pb2.HeldRehearsal(
                rehearsal_id="r",
                protection_id="p",
                generation="g",
                sequence=6,
                machine_name="web\x1b - test",
            )
        ],
    )
    hello = translate.hello(message)
    assert (hello.name, hello.facts.hypervisor) == ("a1", "hyperv")
    assert (hello.anchor, hello.run) == ((7, b"d" * 32), AgentRun(3, "run-3"))
    assert hello.deny_list_version == 2
    assert hello.held == (
        HeldProtection(
            ProtectionId("p"),
            4,
            Generation("g"),
            True,
            MachineId("m"),
            "web [2J",
            HostId("b"),
            5,
        ),
    )
    assert hello.rehearsals == (
        HeldRehearsal(RehearsalId("r"), ProtectionId("p"), Generation("g"), 6, "web  - test"),
    )


def test_an_agent_of_the_first_version_says_less() -> None:
    hello = translate.hello(session_pb2.Hello(control_version=7))
    assert (hello.anchor, hello.run, hello.held) == ((7, b""), AgentRun(0, ""), ())


@pytest.mark.parametrize(
    "wrong",
    [
        {"control_digest": b"short"},
        {"control_version": TOO_LARGE},
        {"start_count": TOO_LARGE},
        {"deny_list_version": TOO_LARGE},
        {"run_id": "x" * 65},
        {"protections": [session_pb2.HeldProtection(grant_version=TOO_LARGE)]},
        {"rehearsals": [session_pb2.HeldRehearsal(rehearsal_id="r", sequence=TOO_LARGE)]},
        {"protections": [session_pb2.HeldProtection(epoch=types_pb2.Epoch(number=TOO_LARGE))]},
    ],
)
def test_what_no_agent_says_first_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        translate.hello(session_pb2.Hello(**wrong))


def test_a_stored_version_is_a_number_that_a_column_holds() -> None:
    assert translate.stored_version(session_pb2.DenyListStored(version=4)) == 4
    with pytest.raises(InvalidValueError):
        translate.stored_version(session_pb2.DenyListStored(version=TOO_LARGE))


def test_an_order_that_was_taken_back_in_time_is_told() -> None:
    message = orders_pb2.OrderOutcome(order_id="o", withdrawn=orders_pb2.Withdrawn())
    assert translate.outcome(message) == Withdrawn()


def test_a_replica_tells_where_it_is_and_what_it_left() -> None:
    accepted = orders_pb2.OrderOutcome(replica_accepted=orders_pb2.ReplicaAccepted(path="/r/p"))
    assert translate.outcome(accepted) == ReplicaAccepted("/r/p")
    removed = orders_pb2.ReplicaRemoved(kept_paths=["/x/a", "/x/b"])
    told = translate.outcome(orders_pb2.OrderOutcome(replica_removed=removed))
    assert told == ReplicaRemoved(("/x/a", "/x/b"))
    nothing = orders_pb2.OrderOutcome(replica_removed=orders_pb2.ReplicaRemoved())
    assert translate.outcome(nothing) == ReplicaRemoved(())


def full_report(**more: Any) -> session_pb2.ReplicationReport:
    values: dict[str, Any] = {
        "protection_id": "p",
        "state": session_pb2.REPLICATION_STATE_RESYNCHRONIZING,
        "sent_bytes": 7,
        "verification": session_pb2.Verification(
            verification_id="v",
            checked_bytes=3,
            total_bytes=4,
            differing_bytes=1,
            is_finished=True,
            finished_at=messages.timestamp(NOW),
        ),
        "compared_at": messages.timestamp(NOW),
        "warning": types_pb2.Failure(code="w", cause="Cause.", remedy="Remedy."),
    }
    return session_pb2.ReplicationReport(**values | more)


def test_a_report_tells_of_comparisons_and_warnings() -> None:
    told = translate.replication_report(full_report(), NOW)
    assert told.state is ReplicationState.RESYNCHRONIZING
    assert (told.sent_bytes, told.compared_at) == (7, NOW)
    assert told.verification == Verification("v", 3, 4, 1, is_finished=True, finished_at=NOW)
    assert told.warning == Failure("w", "Cause.", "Remedy.")
    paused = session_pb2.ReplicationReport(
        protection_id="p", state=session_pb2.REPLICATION_STATE_PAUSED
    )
    told = translate.replication_report(paused, NOW)
    assert told.state is ReplicationState.PAUSED
    assert (told.verification, told.compared_at, told.warning) == (None, None, None)
    going = session_pb2.Verification(verification_id="v", checked_bytes=1, total_bytes=4)
    unfinished = translate.replication_report(full_report(verification=going), NOW).verification
    assert unfinished is not None
    assert (unfinished.is_finished, unfinished.finished_at) == (False, None)


@pytest.mark.parametrize(
    "change",
    [
        {"sent_bytes": TOO_LARGE},
        {"verification": session_pb2.Verification(checked_bytes=TOO_LARGE)},
        {"verification": session_pb2.Verification(total_bytes=TOO_LARGE)},
        {"verification": session_pb2.Verification(differing_bytes=TOO_LARGE)},
        {"compared_at": Timestamp(seconds=1 << 60)},
    ],
)
def test_a_report_with_what_nothing_can_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        translate.replication_report(full_report(**change), NOW)
