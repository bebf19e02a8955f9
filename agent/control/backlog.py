"""What waits to go up to the vault, whether or not there is a conversation. Bounded; nobody ever waits for it."""

from collections.abc import Callable

from agent.control.messages import replication_message
from agent.control.pacing import Pacer
from agent.control.point_reports import PointReports
from agent.source.status import ReplicationStatus
from replikera.wire.v1 import orders_pb2, session_pb2

REPORT_SECONDS = 1.0
"""At most one report of a replication, or of an order's progress, in this time; a new state does not wait."""

OUTCOME_SECONDS = 30.0
"""An outcome that the vault has not confirmed is sent again after this time, and after every connect."""

MAX_INVENTORY_BYTES = 3 * 1024 * 1024
"""The vault takes messages of 4 MiB; a full host of 1,024 machines needs about 2 MiB."""


class Backlog:
    """Outcomes until they are accepted; the newest inventory, replication state, progress; points to report.

    `on_urgent` is called when something should leave at once rather than with the next tick.
    """

    def __init__(self) -> None:
        self.points = PointReports()
        self.on_urgent: Callable[[], None] = lambda: None
        self._replications: Pacer[ReplicationStatus] = Pacer(REPORT_SECONDS)
        self._progress: Pacer[orders_pb2.OrderProgress] = Pacer(REPORT_SECONDS)
        self._outcomes: Pacer[orders_pb2.OrderOutcome] = Pacer(OUTCOME_SECONDS, is_repeated=True)
        self._inventory: session_pb2.Inventory | None = None
        self._is_inventory_due = False

    def report_replication(self, status: ReplicationStatus) -> None:
        """Take how a replication stands; called for every message that its source sends."""
        before = self._replications.latest(status.protection_id)
        is_urgent = before is None or _turning_point(before) != _turning_point(status)
        self._replications.put(status.protection_id, status, is_urgent=is_urgent)
        if is_urgent:
            self.on_urgent()

    def forget_replication(self, protection_id: str) -> None:
        """Say nothing more of a replication that has ended."""
        self._replications.forget(protection_id)

    def report_progress(
        self, order_id: str, step: str, done_bytes: int = 0, total_bytes: int = 0
    ) -> None:
        """Take which step an order is at, and how far; a new step does not wait."""
        message = orders_pb2.OrderProgress(
            order_id=order_id, step=step, done_bytes=done_bytes, total_bytes=total_bytes
        )
        before = self._progress.latest(order_id)
        is_urgent = before is None or before.step != step
        self._progress.put(order_id, message, is_urgent=is_urgent)
        if is_urgent:
            self.on_urgent()

    def report_inventory(self, inventory: session_pb2.Inventory) -> None:
        """Take the host's inventory; one that equals the last is not sent again."""
        if inventory != self._inventory:
            self._inventory = inventory
            self._is_inventory_due = True
            self.on_urgent()

    def machine_name(self, machine_id: str) -> str:
        """Return the name of a machine of the newest inventory, empty for one that is not in it."""
        for machine in self._inventory.machines if self._inventory is not None else ():
            if machine.machine_id == machine_id:
                return machine.name
        return ""

    def add_outcome(self, outcome: orders_pb2.OrderOutcome) -> None:
        """Send this outcome until it is accepted."""
        self._progress.forget(outcome.order_id)
        self._outcomes.put(outcome.order_id, outcome, is_urgent=True)
        self.on_urgent()

    def drop_outcome(self, order_id: str) -> None:
        """Stop sending an outcome: the vault has it."""
        self._outcomes.forget(order_id)

    def restart(self) -> None:
        """Make everything due again: a new conversation has begun."""
        self._is_inventory_due = self._inventory is not None
        self._outcomes.repeat()
        self._replications.repeat()
        self._progress.repeat()
        self.points.restart()

    def take(self, now: float) -> list[session_pb2.SessionRequest]:
        """Return what is due, outcomes first."""
        request = session_pb2.SessionRequest
        due = [request(outcome=outcome) for outcome in self._outcomes.take(now)]
        if self._is_inventory_due:
            self._is_inventory_due = False
            due.append(request(inventory=self._inventory))
        page = self.points.take(now)
        if page is not None:
            due.append(request(points=page))
        statuses = self._replications.take(now)
        due.extend(request(replication=replication_message(status)) for status in statuses)
        due.extend(request(progress=progress) for progress in self._progress.take(now))
        return due


def _turning_point(status: ReplicationStatus) -> tuple[object, ...]:
    """Return what an operator should not wait for."""
    verification = status.verification
    is_verified = verification is not None and verification.is_finished
    warning = status.warning.code if status.warning is not None else ""
    return status.state, status.failure, status.acknowledged_sequence, is_verified, warning
