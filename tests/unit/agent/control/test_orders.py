import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.control import ledger as ledger_module
from agent.control import orders as orders_module
from agent.control.backlog import Backlog
from agent.control.ledger import OrderLedger
from agent.control.orders import RETRY_SECONDS, Orders, Progress
from replikera.wire.v1 import orders_pb2
from tests.unit.agent.fakes import FusedFiles, InlineWorker, ManualClock, settle

A = "aaaaaaaa-0000-4000-8000-000000000001"
B = "bbbbbbbb-0000-4000-8000-000000000002"


def order(order_id: str = A) -> orders_pb2.Order:
    return orders_pb2.Order(order_id=order_id, accept_replica=orders_pb2.AcceptReplica())


def changing(order_id: str, protection_id: str) -> orders_pb2.Order:
    action = orders_pb2.StartReplication(protection_id=protection_id)
    return orders_pb2.Order(order_id=order_id, start_replication=action)


def done(order_id: str = A) -> orders_pb2.OrderOutcome:
    return orders_pb2.OrderOutcome(order_id=order_id, done=orders_pb2.Done())


class Host:
    """One host's orders over a folder; `gate` holds the handler back."""

    def __init__(self, folder: Path) -> None:
        self.files = FusedFiles()
        self.clock = ManualClock()
        self.folder = folder / "orders"
        self.backlog = Backlog()
        self.handled: list[str] = []
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None
        self.after: Callable[[], None] = lambda: None

    async def handle(self, order: orders_pb2.Order, progress: Progress) -> orders_pb2.OrderOutcome:
        self.handled.append(order.order_id)
        progress("begun")
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.after()
        return done(order.order_id)

    def ledger(self) -> OrderLedger:
        return OrderLedger(self.files, InlineWorker(), self.clock, self.folder)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Orders]:
        ledger = self.ledger()
        await ledger.open()
        orders = Orders(ledger, self.handle, self.backlog, self.clock)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(orders.run())
            await settle()
            yield orders
            task.cancel()

    def outcomes(self) -> list[orders_pb2.OrderOutcome]:
        self.backlog.restart()
        messages = self.backlog.take(self.clock.monotonic())
        return [message.outcome for message in messages if message.HasField("outcome")]

    def steps(self) -> list[str]:
        self.backlog.restart()
        messages = self.backlog.take(self.clock.monotonic())
        return [message.progress.step for message in messages if message.HasField("progress")]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


async def test_order_is_carried_out_and_answered(host: Host) -> None:
    async with host.running() as orders:
        orders.submit(order())
        await settle()
        assert host.outcomes() == [done()]
    assert host.handled == [A]


async def test_order_in_hand_is_not_begun_twice(host: Host) -> None:
    host.gate = asyncio.Event()
    async with host.running() as orders:
        orders.submit(order())
        await settle()
        orders.submit(order())
        await settle()
        assert host.handled == [A]
        assert host.steps() == ["begun"]
        host.gate.set()
        await settle()
        assert host.outcomes() == [done()]
    assert host.handled == [A]


async def test_orders_that_change_one_protection_come_one_after_the_other(host: Host) -> None:
    host.gate = asyncio.Event()
    async with host.running() as orders:
        orders.submit(changing(A, "p"))
        orders.submit(changing(B, "p"))
        await settle()
        assert host.handled == [A]
        host.gate.set()
        await settle()
    assert host.handled == [A, B]


async def test_order_of_another_protection_does_not_wait(host: Host) -> None:
    host.gate = asyncio.Event()
    async with host.running() as orders:
        orders.submit(changing(A, "p"))
        orders.submit(changing(B, "q"))
        await settle()
        assert host.handled == [A, B]


async def test_rehearsal_and_settings_do_not_wait_for_each_other(host: Host) -> None:
    host.gate = asyncio.Event()
    rehearsal = orders_pb2.StartRehearsal(protection_id="p")
    async with host.running() as orders:
        orders.submit(orders_pb2.Order(order_id=A, start_rehearsal=rehearsal))
        orders.submit(changing(B, "p"))
        await settle()
        assert host.handled == [A, B]


async def test_finished_order_that_arrives_again_is_only_answered_again(host: Host) -> None:
    async with host.running() as orders:
        orders.submit(order())
        await settle()
        await orders.accepted(A)
        assert host.outcomes() == []
        orders.submit(order())
        await settle()
        assert host.outcomes() == [done()]
    assert host.handled == [A]


async def test_restarted_agent_sends_what_was_not_accepted(host: Host) -> None:
    async with host.running() as orders:
        orders.submit(order(A))
        orders.submit(order(B))
        await settle()
        await orders.accepted(A)
    host.backlog = Backlog()
    async with host.running():
        assert host.outcomes() == [done(B)]


async def test_order_interrupted_by_a_stop_runs_again(host: Host) -> None:
    host.gate = asyncio.Event()
    async with host.running() as orders:
        orders.submit(order())
        await settle()
    host.gate = None
    host.backlog = Backlog()
    async with host.running() as orders:
        assert host.outcomes() == []
        orders.submit(order())
        await settle()
        assert host.outcomes() == [done()]
    assert host.handled == [A, A]


async def test_nothing_is_done_before_the_intent_is_durable(host: Host) -> None:
    async with host.running() as orders:
        host.files.error = OSError(errno.ENOSPC, "no space left")
        orders.submit(order())
        await settle()
        assert host.handled == []
        assert "no space left" in host.steps()[0]
        host.files.error = None
        await host.clock.advance(RETRY_SECONDS)
        assert host.outcomes() == [done()]
    assert host.handled == [A]


async def test_outcome_that_is_not_durable_is_not_told_and_the_order_runs_again(
    host: Host,
) -> None:
    def volume_fills() -> None:
        host.files.error = OSError(errno.ENOSPC, "no space left")

    host.after = volume_fills
    async with host.running() as orders:
        orders.submit(order())
        await settle()
        assert host.outcomes() == []
        host.files.error = None
        host.after = lambda: None
        await host.clock.advance(RETRY_SECONDS)
        assert host.outcomes() == [done()]
    assert host.handled == [A, A]


async def test_unexpected_error_fails_this_order_and_no_other(host: Host) -> None:
    async with host.running() as orders:
        host.error = ZeroDivisionError("oops")
        orders.submit(order(A))
        await settle()
        host.error = None
        orders.submit(order(B))
        await settle()
        failed, succeeded = host.outcomes()
    assert failed.failure.code == "internal-error"
    assert "ZeroDivisionError: oops" in failed.failure.cause
    assert succeeded == done(B)


async def test_orders_beyond_the_ledgers_room_are_answered_with_a_failure(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "MAX_OPEN_ORDERS", 0)
    async with host.running() as orders:
        orders.submit(order())
        await settle()
        (outcome,) = host.outcomes()
    assert outcome.failure.code == "order-refused"
    assert host.handled == []


async def test_orders_beyond_the_queue_are_answered_with_a_failure(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders_module, "MAX_WAITING_ORDERS", 1)
    async with host.running() as orders:
        orders.submit(order(A))
        orders.submit(order(B))
        (refused,) = host.outcomes()
        assert (refused.order_id, refused.failure.code) == (B, "order-refused")
        await settle()
    assert host.handled == [A]


async def test_only_so_many_orders_run_at_a_time(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders_module, "MAX_RUNNING_ORDERS", 1)
    host.gate = asyncio.Event()
    async with host.running() as orders:
        orders.submit(order(A))
        orders.submit(order(B))
        await settle()
        assert host.handled == [A]
        host.gate.set()
        await settle()
        assert host.handled == [A, B]


async def test_acceptance_that_cannot_be_written_stops_nothing(host: Host) -> None:
    async with host.running() as orders:
        orders.submit(order())
        await settle()
        host.files.error = OSError(errno.EIO, "bad disk")
        await orders.accepted(A)
        assert host.outcomes() == []
    host.files.error = None
    reopened = host.ledger()
    await reopened.open()
    assert reopened.unaccepted() == (done(),)


def results(host: Host) -> list[str | None]:
    return [outcome.WhichOneof("result") for outcome in host.outcomes()]


async def test_order_withdrawn_before_it_came_is_answered_and_never_begun(host: Host) -> None:
    async with host.running() as orders:
        await orders.withdraw(A)
        assert results(host) == ["withdrawn"]
        orders.submit(order())
        await settle()
        assert results(host) == ["withdrawn"]
    async with host.running() as orders:
        orders.submit(order())
        await settle()
        assert results(host) == ["withdrawn"]
    assert host.handled == []


async def test_order_withdrawn_while_it_waits_is_never_begun(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders_module, "MAX_RUNNING_ORDERS", 1)
    host.gate = asyncio.Event()
    async with host.running() as orders:
        orders.submit(order(A))
        orders.submit(order(B))
        await settle()
        await orders.withdraw(B)
        host.gate.set()
        await settle()
        assert {outcome.order_id: outcome.WhichOneof("result") for outcome in host.outcomes()} == {
            A: "done",
            B: "withdrawn",
        }
    assert host.handled == [A]


async def test_running_order_that_is_withdrawn_answers_with_its_own_outcome(host: Host) -> None:
    host.gate = asyncio.Event()
    async with host.running() as orders:
        orders.submit(order())
        await settle()
        await orders.withdraw(A)
        assert results(host) == []
        host.gate.set()
        await settle()
        assert results(host) == ["done"]


async def test_finished_order_that_is_withdrawn_answers_with_its_own_outcome(host: Host) -> None:
    async with host.running() as orders:
        orders.submit(order())
        await settle()
        await orders.accepted(A)
        await orders.withdraw(A)
        assert results(host) == ["done"]
        await orders.withdraw(A)
        assert results(host) == ["done"]


async def test_withdrawal_that_comes_twice_is_answered_twice(host: Host) -> None:
    async with host.running() as orders:
        await orders.withdraw(A)
        await orders.accepted(A)
        assert results(host) == []
        await orders.withdraw(A)
        assert results(host) == ["withdrawn"]


async def test_order_of_a_killed_run_is_told_interrupted_when_it_is_withdrawn(host: Host) -> None:
    await begun_in_a_killed_run(host)
    async with host.running() as orders:
        await orders.withdraw(A)
        (outcome,) = host.outcomes()
        assert outcome.failure.code == "order-interrupted"
        orders.submit(order())
        await settle()
        assert host.outcomes() == [outcome]
    assert host.handled == []


async def test_order_of_a_killed_run_that_comes_before_its_withdrawal_is_finished(
    host: Host,
) -> None:
    await begun_in_a_killed_run(host)
    async with host.running() as orders:
        orders.submit(order())
        await orders.withdraw(A)
        await settle()
        assert host.outcomes() == [done()]
    assert host.handled == [A]


async def begun_in_a_killed_run(host: Host) -> None:
    ledger = host.ledger()
    await ledger.open()
    await ledger.begin(A)


async def test_withdrawal_that_cannot_be_written_is_not_answered(host: Host) -> None:
    async with host.running() as orders:
        host.files.error = OSError(errno.EIO, "bad disk")
        await orders.withdraw(A)
        assert host.outcomes() == []
        await orders.withdraw("not an id")
        host.files.error = None
        await orders.withdraw(A)
        assert results(host) == ["withdrawn"]
