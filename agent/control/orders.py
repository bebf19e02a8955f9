"""Carries orders out, each once at a time and with its intent and outcome in the ledger."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias

import structlog

from agent.control.backlog import Backlog
from agent.control.ledger import LedgerError, OrderLedger
from agent.control.messages import failed, failure_message
from agent.control.turns import Turns
from replikera.ports.clock import Clock
from replikera.wire.v1 import orders_pb2

MAX_RUNNING_ORDERS = 32
"""Most wait for a guest or for a copy of disks; a copy is bounded by its volume anyway."""

MAX_WAITING_ORDERS = 1024

RETRY_SECONDS = 30.0
"""How soon an order is tried again whose intent or outcome could not be written."""

_IN_TURN: Final = (
    "accept_replica",
    "start_replication",
    "resync_replication",
    "verify_replication",
    "stop_replication",
    "remove_replica",
    "clean_up_rehearsal",
)
"""What changes a protection here: the newest order must be the one that counts, and what holds its replica goes first.

Others may last and wait for nobody.
"""


class Progress(Protocol):
    """Takes the present step of an order, and of how many bytes how many are done where that is known."""

    def __call__(self, step: str, done_bytes: int = 0, total_bytes: int = 0) -> None:
        """Take it; never waits."""


Handler: TypeAlias = Callable[[orders_pb2.Order, Progress], Awaitable[orders_pb2.OrderOutcome]]

log = structlog.get_logger(__name__)


class Orders:
    """The orders in hand. They go on while there is no conversation with the vault."""

    def __init__(
        self, ledger: OrderLedger, handle: Handler, backlog: Backlog, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._handle = handle
        self._backlog = backlog
        self._clock = clock
        self._waiting: asyncio.Queue[orders_pb2.Order] = asyncio.Queue(MAX_WAITING_ORDERS)
        self._in_hand: set[str] = set()
        self._slots = asyncio.Semaphore(MAX_RUNNING_ORDERS)
        self._turns = Turns()

    def submit(self, order: orders_pb2.Order) -> None:
        """Take an order; one that is in hand already changes nothing. Never waits."""
        if order.order_id in self._in_hand:
            return
        try:
            self._waiting.put_nowait(order)
        except asyncio.QueueFull:
            self._backlog.add_outcome(_refused(order, f"{MAX_WAITING_ORDERS} orders wait."))
        else:
            self._in_hand.add(order.order_id)

    async def withdraw(self, order_id: str) -> None:
        """Do not begin an order; what came of it is sent, at once where it has not begun or has ended."""
        try:
            outcome = await self._ledger.withdraw(order_id)
            if outcome is None and order_id not in self._in_hand:
                outcome = _interrupted(order_id)
                await self._ledger.finish(outcome)
        except (LedgerError, OSError) as error:
            # Without an answer the vault asks again after the next connect.
            log.warning("withdrawal not written", order=order_id, cause=str(error))
            return
        if outcome is not None:
            self._backlog.add_outcome(outcome)

    async def accepted(self, order_id: str) -> None:
        """Note that the vault has stored an outcome."""
        self._backlog.drop_outcome(order_id)
        try:
            await self._ledger.accept(order_id)
        except OSError as error:
            # The vault confirms again after the next connect: nothing is lost but a message.
            log.warning("acceptance not written", order=order_id, cause=str(error))

    async def run(self) -> None:
        """Carry out what is submitted, until cancelled; first of all send what earlier runs left."""
        for outcome in self._ledger.unaccepted():
            self._backlog.add_outcome(outcome)
        async with asyncio.TaskGroup() as group:
            while True:
                order = await self._waiting.get()
                await self._slots.acquire()
                group.create_task(self._carry_out(order))

    async def _carry_out(self, order: orders_pb2.Order) -> None:
        try:
            async with self._turns.take(_changed_protection(order)):
                outcome = await self._outcome_of(order)
            self._backlog.add_outcome(outcome)
        finally:
            self._in_hand.discard(order.order_id)
            self._slots.release()

    async def _outcome_of(self, order: orders_pb2.Order) -> orders_pb2.OrderOutcome:
        while True:
            try:
                return await self._try(order)
            except LedgerError as error:
                return _refused(order, str(error))
            except OSError as error:
                log.warning("ledger not written", order=order.order_id, cause=str(error))
                self._backlog.report_progress(
                    order.order_id, f"waiting: the host cannot write its order ledger: {error}"
                )
            await self._clock.sleep(RETRY_SECONDS)

    async def _try(self, order: orders_pb2.Order) -> orders_pb2.OrderOutcome:
        recorded = await self._ledger.begin(order.order_id)
        if recorded is not None:
            return recorded
        outcome = await self._act(order)
        await self._ledger.finish(outcome)
        log.info(
            "order finished",
            order=order.order_id,
            action=order.WhichOneof("action"),
            result=outcome.WhichOneof("result"),
            cause=outcome.failure.cause,
        )
        return outcome

    async def _act(self, order: orders_pb2.Order) -> orders_pb2.OrderOutcome:
        def progress(step: str, done_bytes: int = 0, total_bytes: int = 0) -> None:
            self._backlog.report_progress(order.order_id, step, done_bytes, total_bytes)

        try:
            return await self._handle(order, progress)
        except Exception as error:
            # The order's root: it fails loudly, the others go on.
            log.exception("order failed unexpectedly", order=order.order_id)
            cause = f"The agent failed unexpectedly: {type(error).__name__}: {error}."
            remedy = "Look at the agent's log and report this with it."
            return failed(order.order_id, failure_message("internal-error", cause, remedy))


def _changed_protection(order: orders_pb2.Order) -> str:
    action = order.WhichOneof("action")
    return getattr(order, action).protection_id if action in _IN_TURN else ""


def _interrupted(order_id: str) -> orders_pb2.OrderOutcome:
    failure = failure_message(
        "order-interrupted",
        "The agent was stopped while it carried out the order, which was withdrawn before it could go on.",
        "Look at what the order was about; giving it again finishes what was begun.",
    )
    return failed(order_id, failure)


def _refused(order: orders_pb2.Order, cause: str) -> orders_pb2.OrderOutcome:
    failure = failure_message(
        "order-refused", f"The host did not take the order: {cause}", "Try again later."
    )
    return failed(order.order_id, failure)
