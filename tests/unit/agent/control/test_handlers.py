from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from agent.control.handlers import Actions, OrderHandlers
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
from agent.replica.accepted import AcceptedReplica
from agent.replica.errors import ReplicaError
from agent.source.errors import AssignmentError
from agent.source.state import Assignment
from replikera.wire.v1 import orders_pb2, types_pb2
from tests.unit.agent.fakes import HEALTHY

ORDER = "22222222-0000-4000-8000-000000000002"
PROTECTION = "33333333-0000-4000-8000-000000000003"
GENERATION = "44444444-0000-4000-8000-000000000004"
REHEARSAL = "11111111-0000-4000-8000-000000000001"
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
        actions = Actions(self.take, self.take, self.start, self.clean_up)
        self._handlers = OrderHandlers(actions)

    async def take(self, what: AcceptedReplica | Assignment, grant: bytes) -> None:
        self.grants.append(grant)
        self._note(what)

    async def start(self, request: RehearsalRequest, progress: Progress) -> RehearsalStarted:
        progress("recover disks")
        self._note(request)
        return STARTED

    async def clean_up(self, rehearsal_id: str) -> RehearsalCleanedUp:
        self._note(rehearsal_id)
        return RehearsalCleanedUp(("machine x", "/r"))

    def _note(self, what: object) -> None:
        self.asked.append(what)
        if self._error is not None:
            raise self._error

    async def handle(self, order: orders_pb2.Order) -> orders_pb2.OrderOutcome:
        return await self._handlers.handle(order, self.steps.append)


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


async def test_replica_is_accepted_under_the_ordered_terms() -> None:
    host = Host()
    outcome = await host.handle(accept_replica())
    assert (outcome.order_id, outcome.WhichOneof("result")) == (ORDER, "done")
    assert host.asked == [
        AcceptedReplica(PROTECTION, 1, GENERATION, "source", "m", "web01", timedelta(hours=1))
    ]
    assert host.grants == [b"signed"]


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
    assert host.asked == [REHEARSAL]
    assert list(outcome.rehearsal_cleaned_up.removed) == ["machine x", "/r"]


@pytest.mark.parametrize("make", [accept_replica, start_replication, start_rehearsal, clean_up])
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


def without_timeout(order: orders_pb2.Order) -> None:
    order.start_rehearsal.ClearField("guest_timeout")


def endless_timeout(order: orders_pb2.Order) -> None:
    order.start_rehearsal.guest_timeout.seconds = 86401


def impossible_timeout(order: orders_pb2.Order) -> None:
    order.start_rehearsal.guest_timeout.seconds = 1 << 62


def name_with_line_break(order: orders_pb2.Order) -> None:
    order.start_rehearsal.machine_name = "a\nb"


def empty_name(order: orders_pb2.Order) -> None:
    order.start_rehearsal.machine_name = ""


def long_name(order: orders_pb2.Order) -> None:
    order.start_rehearsal.machine_name = "n" * 256


def adapter_twice(order: orders_pb2.Order) -> None:
    order.start_rehearsal.nics[1].nic_id = "nic-0"


def too_many_adapters(order: orders_pb2.Order) -> None:
    order.start_rehearsal.nics.extend(
        orders_pb2.NicConnection(nic_id=str(number)) for number in range(63)
    )


def network_that_is_no_name(order: orders_pb2.Order) -> None:
    order.start_rehearsal.nics[0].network = "\x00"


@pytest.mark.parametrize(
    "spoil",
    [
        without_timeout,
        endless_timeout,
        impossible_timeout,
        name_with_line_break,
        empty_name,
        long_name,
        adapter_twice,
        too_many_adapters,
        network_that_is_no_name,
    ],
)
async def test_order_that_makes_no_sense_is_refused_before_anything_is_done(
    spoil: Callable[[orders_pb2.Order], None],
) -> None:
    host = Host()
    order = start_rehearsal()
    spoil(order)
    outcome = await host.handle(order)
    assert outcome.failure.code == "bad-order"
    assert host.asked == []


def without_source(order: orders_pb2.Order) -> None:
    order.accept_replica.source_host_id = ""


def without_machine(order: orders_pb2.Order) -> None:
    order.accept_replica.machine_id = ""


def without_machine_name(order: orders_pb2.Order) -> None:
    order.accept_replica.machine_name = ""


@pytest.mark.parametrize("spoil", [without_source, without_machine, without_machine_name])
async def test_replica_of_nobody_is_refused(spoil: Callable[[orders_pb2.Order], None]) -> None:
    host = Host()
    order = accept_replica()
    spoil(order)
    assert (await host.handle(order)).failure.code == "bad-order"
    assert host.asked == []


async def test_action_of_a_newer_vault_is_refused() -> None:
    outcome = await Host().handle(orders_pb2.Order(order_id=ORDER))
    assert outcome.failure.code == "bad-order"
    assert "does not know its action" in outcome.failure.cause
