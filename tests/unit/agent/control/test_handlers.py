from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from agent.control.handlers import OrderHandlers, SourceActions, TargetActions
from agent.control.order_fields import PointName, ReplicaTerms
from agent.control.orders import Progress
from agent.failover.outcome import (
    RecoveredDisk,
    RehearsalCleanedUp,
    RehearsalError,
    RehearsalRequest,
    RehearsalStarted,
    StepTime,
)
from agent.hypervisor.interface import HypervisorError
from agent.replica.accepted import AcceptedReplica, Seed
from agent.replica.errors import ReplicaError
from agent.replica.exporting import ExportedDisk, ExportRequest
from agent.replica.point_digests import DiskDigest
from agent.source.assignment import Assignment
from agent.source.errors import AssignmentError
from agent.source.state import NamedPoint, NameRequest
from replikera.export_names import ExportFormat
from replikera.wire.v1 import orders_pb2, types_pb2
from tests.unit.agent.fakes import HEALTHY

ORDER = "22222222-0000-4000-8000-000000000002"
PROTECTION = "33333333-0000-4000-8000-000000000003"
GENERATION = "44444444-0000-4000-8000-000000000004"
REHEARSAL = "11111111-0000-4000-8000-000000000001"
VERIFICATION = "66666666-0000-4000-8000-000000000006"
EPOCH = types_pb2.Epoch(number=1, generation=GENERATION)

STARTED = RehearsalStarted(
    machine_id="m-1",
    disks=(RecoveredDisk("disk-a", Path("/r/system.vhdx"), 1 << 40),),
    steps=(StepTime("recover disks", 1.5),),
    guest=HEALTHY,
    networks={"nic-0": "Test", "nic-1": ""},
)


class Host:
    """Takes down what is asked of it, or fails as told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[object] = []
        self.steps: list[str] = []
        self.grants: list[bytes] = []
        self._error = error
        self._handlers = OrderHandlers(
            SourceActions(
                start=self.replicate,
                resync=self.take,
                verify=self.take,
                name_point=self.name_point,
                stop=self.take,
            ),
            TargetActions(
                accept=self.accept,
                remove=self.remove,
                digest=self.digest,
                export=self.export,
                start_rehearsal=self.start,
                clean_up_rehearsal=self.clean_up,
            ),
        )

    async def replicate(self, assigned: Assignment, grant: bytes) -> None:
        self.grants.append(grant)
        self._note(assigned)

    async def name_point(self, protection_id: str, request: NameRequest) -> NamedPoint:
        self._note((protection_id, request))
        return NamedPoint(request.request_id, GENERATION, 9)

    async def take(self, *what: str) -> None:
        self._note(what)

    async def accept(self, terms: ReplicaTerms) -> Path:
        self._note(terms)
        return Path("/replicas/p")

    async def remove(self, protection_id: str, keep_disks: bool) -> tuple[Path, ...]:
        self._note((protection_id, keep_disks))
        return (Path("/exports/system.vhdx"),) if keep_disks else ()

    async def digest(self, point: PointName, progress: Progress) -> tuple[DiskDigest, ...]:
        progress("read the point", 5, 10)
        self._note(point)
        return (DiskDigest("disk-a", "system.vhdx", 1 << 40, b"d" * 32),)

    async def export(
        self, point: PointName, request: ExportRequest, progress: Progress
    ) -> ExportedDisk:
        progress("write the disk", 0, 0)
        self._note((point, request))
        digest = DiskDigest("disk-a", "system.vhdx", 1 << 40, b"d" * 32)
        return ExportedDisk(Path("/exports/web.raw"), digest)

    async def start(self, request: RehearsalRequest, progress: Progress) -> RehearsalStarted:
        progress("recover disks")
        self._note(request)
        return STARTED

    async def clean_up(self, rehearsal_id: str, protection_id: str) -> RehearsalCleanedUp:
        self._note((rehearsal_id, protection_id))
        return RehearsalCleanedUp(("machine x", "/r"))

    def _note(self, what: object) -> None:
        self.asked.append(what)
        if self._error is not None:
            raise self._error

    def _progress(self, step: str, done_bytes: int = 0, total_bytes: int = 0) -> None:
        self.steps.append(step if not total_bytes else f"{step}: {done_bytes}/{total_bytes}")

    async def handle(self, order: orders_pb2.Order) -> orders_pb2.OrderOutcome:
        return await self._handlers.handle(order, self._progress)


def accept_replica() -> orders_pb2.Order:
    action = orders_pb2.AcceptReplica(
        protection_id=PROTECTION,
        epoch=EPOCH,
        source_host_id="source",
        machine_id="m",
        machine_name="web01",
        retention=Duration(seconds=3600),
        grant=b"signed",
    )
    return orders_pb2.Order(order_id=ORDER, accept_replica=action)


def start_replication() -> orders_pb2.Order:
    action = orders_pb2.StartReplication(
        protection_id=PROTECTION,
        epoch=EPOCH,
        machine_id="m",
        target_host_id="target",
        target_address="10.0.0.5:7404",
        copy_frequency=Duration(seconds=2, nanos=500_000_000),
        grant=b"signed",
    )
    return orders_pb2.Order(order_id=ORDER, start_replication=action)


def start_rehearsal() -> orders_pb2.Order:
    action = orders_pb2.StartRehearsal(
        rehearsal_id=REHEARSAL,
        protection_id=PROTECTION,
        generation=GENERATION,
        sequence=7,
        machine_name="web01 - test",
        nics=[
            orders_pb2.NicConnection(nic_id="nic-0", network="Test"),
            orders_pb2.NicConnection(nic_id="nic-1"),
        ],
        guest_timeout=Duration(seconds=120),
    )
    return orders_pb2.Order(order_id=ORDER, start_rehearsal=action)


def clean_up() -> orders_pb2.Order:
    action = orders_pb2.CleanUpRehearsal(rehearsal_id=REHEARSAL, protection_id=PROTECTION)
    return orders_pb2.Order(order_id=ORDER, clean_up_rehearsal=action)


def resync() -> orders_pb2.Order:
    action = orders_pb2.ResyncReplication(protection_id=PROTECTION)
    return orders_pb2.Order(order_id=ORDER, resync_replication=action)


def call_off() -> orders_pb2.Order:
    action = orders_pb2.VerifyReplication(protection_id=PROTECTION)
    return orders_pb2.Order(order_id=ORDER, verify_replication=action)


def verify() -> orders_pb2.Order:
    action = orders_pb2.VerifyReplication(protection_id=PROTECTION, verification_id=VERIFICATION)
    return orders_pb2.Order(order_id=ORDER, verify_replication=action)


def stop() -> orders_pb2.Order:
    action = orders_pb2.StopReplication(protection_id=PROTECTION)
    return orders_pb2.Order(order_id=ORDER, stop_replication=action)


def remove_replica() -> orders_pb2.Order:
    action = orders_pb2.RemoveReplica(protection_id=PROTECTION, keep_disks=True)
    return orders_pb2.Order(order_id=ORDER, remove_replica=action)


def digest_point() -> orders_pb2.Order:
    action = orders_pb2.DigestPoint(protection_id=PROTECTION, generation=GENERATION, sequence=7)
    return orders_pb2.Order(order_id=ORDER, digest_point=action)


def name_point(name: str = "before patch day") -> orders_pb2.Order:
    action = orders_pb2.NamePoint(protection_id=PROTECTION, name=name)
    return orders_pb2.Order(order_id=ORDER, name_point=action)


def export_point(name: str = "web.raw") -> orders_pb2.Order:
    action = orders_pb2.ExportPoint(
        protection_id=PROTECTION, generation=GENERATION, sequence=7, disk=1, file_name=name
    )
    return orders_pb2.Order(order_id=ORDER, export_point=action)


async def test_replica_is_accepted_under_the_ordered_terms() -> None:
    host = Host()
    order = accept_replica()
    order.accept_replica.storage_folder = "/replicas"
    order.accept_replica.seeds.add(disk_name="system.vhdx", file_name="seed.vhdx")
    outcome = await host.handle(order)
    assert (outcome.order_id, outcome.replica_accepted.path) == (ORDER, "/replicas/p")
    seeds = (Seed("system.vhdx", "seed.vhdx"),)
    accepted = AcceptedReplica(
        PROTECTION, 1, GENERATION, "source", "m", "web01", timedelta(hours=1), seeds
    )
    assert host.asked == [ReplicaTerms(accepted, b"signed", "/replicas")]


async def test_replication_is_started_as_ordered() -> None:
    host = Host()
    outcome = await host.handle(start_replication())
    assert outcome.WhichOneof("result") == "done"
    assert host.asked == [
        Assignment(
            PROTECTION, 1, GENERATION, "m", "target", "10.0.0.5:7404", timedelta(seconds=2.5)
        )
    ]
    assert host.grants == [b"signed"]


@pytest.mark.parametrize(
    ("make", "asked"),
    [
        (resync, (PROTECTION,)),
        (verify, (PROTECTION, VERIFICATION)),
        (call_off, (PROTECTION, "")),
        (stop, (PROTECTION,)),
    ],
)
async def test_source_is_asked_and_done(
    make: Callable[[], orders_pb2.Order], asked: tuple[str, ...]
) -> None:
    host = Host()
    outcome = await host.handle(make())
    assert (outcome.order_id, outcome.WhichOneof("result")) == (ORDER, "done")
    assert host.asked == [asked]


async def test_kept_disks_of_a_removed_replica_are_told() -> None:
    host = Host()
    outcome = await host.handle(remove_replica())
    assert host.asked == [(PROTECTION, True)]
    assert list(outcome.replica_removed.kept_paths) == ["/exports/system.vhdx"]


async def test_replica_removed_without_disks_is_told_too() -> None:
    order = remove_replica()
    order.remove_replica.keep_disks = False
    outcome = await Host().handle(order)
    assert outcome.WhichOneof("result") == "replica_removed"
    assert not outcome.replica_removed.kept_paths


async def test_digests_of_a_point_are_told_with_their_progress() -> None:
    host = Host()
    outcome = await host.handle(digest_point())
    assert host.asked == [PointName(PROTECTION, GENERATION, 7)]
    assert host.steps == ["read the point: 5/10"]
    assert outcome.point_digests.disks == [
        orders_pb2.DiskDigest(disk_id="disk-a", name="system.vhdx", size=1 << 40, sha256=b"d" * 32)
    ]


async def test_a_point_with_a_name_is_taken_as_ordered() -> None:
    host = Host()
    outcome = await host.handle(name_point())
    assert host.asked == [(PROTECTION, NameRequest(ORDER, "before patch day"))]
    named = outcome.point_named
    assert (named.generation, named.sequence) == (GENERATION, 9)


@pytest.mark.parametrize("name", ["", "x" * 101, "two\nlines"])
async def test_a_point_is_given_no_name_that_cannot_be_shown(name: str) -> None:
    host = Host()
    outcome = await host.handle(name_point(name))
    assert (host.asked, outcome.failure.code) == ([], "bad-order")


async def test_a_disk_of_a_point_is_exported_as_ordered() -> None:
    host = Host()
    outcome = await host.handle(export_point())
    request = ExportRequest(ORDER, 7, 1, "web.raw", ExportFormat.RAW)
    assert host.asked == [(PointName(PROTECTION, GENERATION, 7), request)]
    assert outcome.point_exported.path == "/exports/web.raw"
    assert outcome.point_exported.disk.sha256 == b"d" * 32


@pytest.mark.parametrize("name", ["", "../web.raw", "web.qcow2", "a/b.raw"])
async def test_a_disk_is_not_exported_to_a_name_that_leads_elsewhere(name: str) -> None:
    host = Host()
    outcome = await host.handle(export_point(name))
    assert (host.asked, outcome.failure.code) == ([], "bad-order")


async def test_rehearsal_is_started_as_ordered_and_told_in_full() -> None:
    host = Host()
    outcome = await host.handle(start_rehearsal())
    assert host.asked == [
        RehearsalRequest(
            rehearsal_id=REHEARSAL,
            order_id=ORDER,
            protection_id=PROTECTION,
            generation=GENERATION,
            sequence=7,
            machine_name="web01 - test",
            networks={"nic-0": "Test", "nic-1": ""},
            guest_timeout=timedelta(minutes=2),
        )
    ]
    assert host.steps == ["recover disks"]
    assert outcome.rehearsal_started == orders_pb2.RehearsalStarted(
        machine_id="m-1",
        disks=[orders_pb2.RecoveredDisk(disk_id="disk-a", path="/r/system.vhdx", size=1 << 40)],
        steps=[types_pb2.Measurement(name="recover disks", seconds=1.5)],
        guest=orders_pb2.GuestReport(is_healthy=True, summary="7 records verified", records=7),
        nics=[
            orders_pb2.NicConnection(nic_id="nic-0", network="Test"),
            orders_pb2.NicConnection(nic_id="nic-1", network=""),
        ],
    )


async def test_clean_up_tells_what_was_removed() -> None:
    host = Host()
    outcome = await host.handle(clean_up())
    assert host.asked == [(REHEARSAL, PROTECTION)]
    assert list(outcome.rehearsal_cleaned_up.removed) == ["machine x", "/r"]


@pytest.mark.parametrize(
    "make",
    [
        accept_replica,
        start_replication,
        resync,
        verify,
        stop,
        name_point,
        remove_replica,
        digest_point,
        export_point,
        start_rehearsal,
        clean_up,
    ],
)
@pytest.mark.parametrize(
    ("error", "code", "cause"),
    [
        (ReplicaError("r-code", "R cause.", "Remedy."), "r-code", "R cause."),
        (RehearsalError("t-code", "T cause.", "Remedy."), "t-code", "T cause."),
        (HypervisorError("h-code", "H cause.", "Remedy."), "h-code", "H cause."),
        (AssignmentError("a-code", "A cause.", "Remedy."), "a-code", "A cause."),
        (OSError("bad disk"), "storage-error", "The host's storage failed: bad disk."),
    ],
)
async def test_failure_is_an_outcome_with_cause_and_remedy(
    make: Callable[[], orders_pb2.Order], error: Exception, code: str, cause: str
) -> None:
    outcome = await Host(error).handle(make())
    assert outcome.order_id == ORDER
    assert (outcome.failure.code, outcome.failure.cause) == (code, cause)
    assert outcome.failure.remedy


async def test_order_that_makes_no_sense_is_refused_before_anything_is_done() -> None:
    host = Host()
    order = start_rehearsal()
    order.start_rehearsal.machine_name = ""
    outcome = await host.handle(order)
    assert outcome.failure.code == "bad-order"
    assert host.asked == []


async def test_action_of_a_newer_vault_is_refused() -> None:
    outcome = await Host().handle(orders_pb2.Order(order_id=ORDER))
    assert outcome.failure.code == "bad-order"
    assert "does not know its action" in outcome.failure.cause
