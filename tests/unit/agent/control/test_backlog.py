from dataclasses import replace

from agent.control.backlog import OUTCOME_SECONDS, Backlog
from agent.source.status import Failure, ReplicationState, ReplicationStatus, VerificationStatus
from replikera.wire.v1 import orders_pb2, session_pb2, types_pb2
from tests.unit.agent.fakes import START, sealed_point

STATUS = ReplicationStatus("p", ReplicationState.INITIAL, None, 1, 10, 0.5, START, 3)
OUTCOME = orders_pb2.OrderOutcome(order_id="o", done=orders_pb2.Done())
INVENTORY = session_pb2.Inventory(networks=[types_pb2.Network(name="LAN")])


def kinds(backlog: Backlog, now: float = 0) -> list[str | None]:
    return [message.WhichOneof("message") for message in backlog.take(now)]


class Bell:
    def __init__(self, backlog: Backlog) -> None:
        self.rings = 0
        backlog.on_urgent = self.ring

    def ring(self) -> None:
        self.rings += 1


def test_nothing_is_due_of_nothing() -> None:
    assert kinds(Backlog()) == []


def test_progress_of_a_replication_leaves_once_a_second() -> None:
    backlog = Backlog()
    bell = Bell(backlog)
    for done in range(5):
        backlog.report_replication(replace(STATUS, done_bytes=done))
    (message,) = backlog.take(0)
    assert message.replication.done_bytes == 4
    backlog.report_replication(replace(STATUS, done_bytes=5))
    assert kinds(backlog, 0.9) == []
    assert [m.replication.done_bytes for m in backlog.take(1.0)] == [5]
    assert bell.rings == 1


def test_new_state_failure_or_point_of_a_replication_leaves_at_once() -> None:
    for changed in (
        replace(STATUS, state=ReplicationState.WAITING),
        replace(STATUS, failure=Failure("c", "cause", "remedy")),
        replace(STATUS, acknowledged_sequence=4),
        replace(STATUS, warning=Failure("w", "cause", "remedy")),
        replace(STATUS, verification=VerificationStatus("v", 9, 9, 0, START)),
    ):
        backlog = Backlog()
        backlog.report_replication(STATUS)
        backlog.take(0)
        bell = Bell(backlog)
        backlog.report_replication(changed)
        assert bell.rings == 1
        assert kinds(backlog, 0.1) == ["replication"]


def test_verification_that_goes_on_waits_for_the_tick() -> None:
    backlog = Backlog()
    backlog.report_replication(STATUS)
    backlog.take(0)
    bell = Bell(backlog)
    backlog.report_replication(replace(STATUS, verification=VerificationStatus("v", 1, 9, 0, None)))
    assert (bell.rings, kinds(backlog, 0.5), kinds(backlog, 1.0)) == (0, [], ["replication"])


def test_forgotten_replication_is_not_told_any_more() -> None:
    backlog = Backlog()
    backlog.report_replication(STATUS)
    backlog.forget_replication("p")
    assert kinds(backlog) == []
    backlog.restart()
    assert kinds(backlog) == []


def test_bytes_of_an_order_leave_once_a_second_and_its_steps_at_once() -> None:
    backlog = Backlog()
    backlog.report_progress("o", "read", 1, 10)
    backlog.take(0)
    bell = Bell(backlog)
    backlog.report_progress("o", "read", 5, 10)
    assert (bell.rings, kinds(backlog, 0.5)) == (0, [])
    (message,) = backlog.take(1.0)
    assert (message.progress.done_bytes, message.progress.total_bytes) == (5, 10)
    backlog.report_progress("o", "write", 0, 0)
    assert (bell.rings, kinds(backlog, 1.1)) == (1, ["progress"])


def test_outcome_is_sent_until_it_is_accepted() -> None:
    backlog = Backlog()
    backlog.add_outcome(OUTCOME)
    assert kinds(backlog, 0) == ["outcome"]
    assert kinds(backlog, OUTCOME_SECONDS - 1) == []
    backlog.restart()
    assert kinds(backlog, OUTCOME_SECONDS - 1) == ["outcome"]
    backlog.drop_outcome("o")
    backlog.restart()
    assert kinds(backlog, 10 * OUTCOME_SECONDS) == []


def test_outcome_that_is_not_accepted_is_sent_again_after_its_time() -> None:
    backlog = Backlog()
    backlog.add_outcome(OUTCOME)
    assert kinds(backlog, 0) == ["outcome"]
    assert kinds(backlog, OUTCOME_SECONDS) == ["outcome"]
    assert kinds(backlog, OUTCOME_SECONDS) == []


def test_outcome_ends_the_progress_of_its_order() -> None:
    backlog = Backlog()
    backlog.report_progress("o", "step")
    assert kinds(backlog) == ["progress"]
    backlog.add_outcome(OUTCOME)
    backlog.restart()
    assert kinds(backlog) == ["outcome"]


def test_equal_inventory_is_not_sent_again_in_one_conversation() -> None:
    backlog = Backlog()
    bell = Bell(backlog)
    backlog.report_inventory(INVENTORY)
    assert kinds(backlog) == ["inventory"]
    backlog.report_inventory(session_pb2.Inventory(networks=[types_pb2.Network(name="LAN")]))
    assert kinds(backlog) == []
    backlog.restart()
    assert kinds(backlog) == ["inventory"]
    backlog.report_inventory(session_pb2.Inventory())
    assert kinds(backlog) == ["inventory"]
    assert bell.rings == 2


def test_outcomes_go_first_and_points_are_among_what_is_due() -> None:
    backlog = Backlog()
    backlog.report_replication(STATUS)
    backlog.points.watch("p", "g", lambda: [sealed_point(1, "g")], lambda: 0)
    backlog.report_inventory(INVENTORY)
    backlog.add_outcome(OUTCOME)
    assert kinds(backlog) == ["outcome", "inventory", "points", "replication"]


def test_machines_of_the_newest_inventory_are_known_by_name() -> None:
    backlog = Backlog()
    assert backlog.machine_name("m") == ""
    backlog.report_inventory(
        session_pb2.Inventory(machines=[types_pb2.Machine(machine_id="m", name="web")])
    )
    assert backlog.machine_name("m") == "web"
    assert backlog.machine_name("n") == ""
