from pathlib import Path

import pytest

from agent.hypervisor.interface import TrackingLostError
from agent.hypervisor.simulated.state import Position
from agent.hypervisor.simulated.tracking import TrackingLogs
from agent.hypervisor.simulated.tracking_session import TrackingSession
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness

SIZES = [1 << 20]
OLD, NEW = {"disk": "content-1"}, {"disk": "content-2"}


@pytest.fixture
def logs(tmp_path: Path) -> TrackingLogs:
    return TrackingLogs(SystemFiles(), SystemRandomness(), tmp_path / "tracking")


@pytest.fixture
def session(tmp_path: Path, logs: TrackingLogs) -> TrackingSession:
    return TrackingSession(SystemFiles(), tmp_path / "tracking", logs)


def is_lost(logs: TrackingLogs, mark: Position) -> bool:
    try:
        logs.since(mark, logs.rotate(), SIZES)
    except TrackingLostError:
        return True
    return False


def test_a_guest_that_finished_in_order_leaves_tracking_as_it_is(
    logs: TrackingLogs, session: TrackingSession
) -> None:
    mark = logs.rotate()
    session.begin(OLD, "boot")
    session.end(NEW, "boot")
    session.look(NEW, "boot", is_in_use=False)
    session.begin(NEW, "boot")
    assert not is_lost(logs, mark)


def test_a_guest_that_was_killed_alone_loses_nothing(
    logs: TrackingLogs, session: TrackingSession
) -> None:
    mark = logs.rotate()
    session.begin(OLD, "boot")
    session.look(NEW, "boot", is_in_use=False)
    session.begin(NEW, "boot")
    assert not is_lost(logs, mark)


@pytest.mark.parametrize("by", ["look", "begin"])
def test_a_host_that_crashed_under_a_guest_has_lost_tracking(
    logs: TrackingLogs, session: TrackingSession, by: str
) -> None:
    mark = logs.rotate()
    session.begin(OLD, "boot")
    if by == "look":
        session.look(NEW, "next-boot", is_in_use=False)
    else:
        session.begin(NEW, "next-boot")
    assert is_lost(logs, mark)
    later = logs.rotate()
    session.look(NEW, "next-boot", is_in_use=False)
    assert not is_lost(logs, later)


def test_a_host_that_crashed_while_the_machine_was_off_has_lost_nothing(
    logs: TrackingLogs, session: TrackingSession
) -> None:
    mark = logs.rotate()
    session.begin(OLD, "boot")
    session.end(NEW, "boot")
    session.look(NEW, "next-boot", is_in_use=False)
    session.begin(NEW, "next-boot")
    assert not is_lost(logs, mark)


def test_logs_that_survived_the_crash_are_believed(
    logs: TrackingLogs, session: TrackingSession
) -> None:
    mark = logs.rotate()
    session.begin(OLD, "boot")
    session.carry_over("next-boot")
    session.begin(NEW, "next-boot")
    assert not is_lost(logs, mark)


def test_a_closed_session_needs_no_carrying_over(
    logs: TrackingLogs, session: TrackingSession
) -> None:
    mark = logs.rotate()
    session.carry_over("boot")
    session.begin(OLD, "boot")
    session.end(OLD, "boot")
    session.carry_over("next-boot")
    session.look(NEW, "next-boot", is_in_use=False)
    assert is_lost(logs, mark)


@pytest.mark.parametrize("by", ["look", "begin"])
def test_another_content_than_at_the_end_has_lost_tracking_once(
    logs: TrackingLogs, session: TrackingSession, by: str
) -> None:
    session.begin(OLD, "boot")
    session.end(OLD, "boot")
    mark = logs.rotate()
    if by == "look":
        session.look(NEW, "boot", is_in_use=False)
    else:
        session.begin(NEW, "boot")
    assert is_lost(logs, mark)
    later = logs.rotate()
    session.look(NEW, "boot", is_in_use=False)
    assert not is_lost(logs, later)


def test_a_guest_that_has_the_disks_vouches_for_them(
    logs: TrackingLogs, session: TrackingSession
) -> None:
    mark = logs.rotate()
    session.begin(OLD, "boot")
    session.look(NEW, "next-boot", is_in_use=True)
    assert not is_lost(logs, mark)


def test_what_was_broken_off_stays_so_until_somebody_looks(
    logs: TrackingLogs, session: TrackingSession
) -> None:
    session.begin(OLD, "boot")
    session.end(OLD, "boot")
    mark = logs.rotate()
    session.break_off("boot")
    session.look(OLD, "boot", is_in_use=False)
    assert is_lost(logs, mark)
    later = logs.rotate()
    session.look(OLD, "boot", is_in_use=False)
    assert not is_lost(logs, later)


def test_the_first_look_is_believed(logs: TrackingLogs, session: TrackingSession) -> None:
    mark = logs.rotate()
    session.look(OLD, "boot", is_in_use=False)
    assert not is_lost(logs, mark)
    session.look(NEW, "boot", is_in_use=False)
    assert is_lost(logs, mark)


def test_a_machine_without_logs_has_nothing_to_lose(
    logs: TrackingLogs, session: TrackingSession
) -> None:
    session.break_off("boot")
    session.look(OLD, "boot", is_in_use=False)
    assert logs.newest() == 0
