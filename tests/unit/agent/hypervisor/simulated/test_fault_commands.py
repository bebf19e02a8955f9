from pathlib import Path

import pytest

from agent.hypervisor.simulated.faults import FaultKind, FaultList, Operation
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.simulate import refused, simulate, simulated


@pytest.fixture
def root(tmp_path: Path) -> Path:
    simulated("create-host", "--root", tmp_path / "h", "--network", "lan")
    return tmp_path / "h"


def listed(root: Path) -> FaultList:
    return FaultList(SystemFiles(), SystemRandomness(), root)


def test_an_operation_is_made_to_fail(root: Path) -> None:
    fail = ("fault", "fail", "--root", root, "--operation", "freeze")
    assert "freeze fails with simulated-fault: 1 times" in simulated(*fail)
    simulated(*fail, "--code", "no-space", "--cause", "Full.", "--times", 3, "--after")
    first, second = listed(root).all()
    assert (first.operation, first.kind) == (Operation.FREEZE, FaultKind.FAIL)
    assert first.cause
    assert (second.code, second.cause, second.remaining) == ("no-space", "Full.", 3)
    assert (first.is_after, second.is_after) == (False, True)


def test_an_operation_is_made_slow_or_to_hang(root: Path) -> None:
    to_open = ("--root", root, "--operation", "open-disk")
    said = simulated("fault", "delay", *to_open, "--seconds", "2.5", "--times", 4)
    assert "open-disk takes 2.5 s: 4 times" in said
    assert "open-disk hangs after it was done" in simulated("fault", "hang", *to_open, "--after")
    slow, hanging = listed(root).all()
    assert (slow.kind, slow.seconds) == (FaultKind.DELAY, 2.5)
    assert hanging.kind is FaultKind.HANG


def test_faults_are_shown_and_cleared(root: Path) -> None:
    assert simulated("fault", "list", "--root", root) == "0 faults.\n"
    simulated("fault", "fail", "--root", root, "--operation", "guest-quiesce", "--times", 2)
    listed(root).take(Operation.GUEST_QUIESCE)
    shown = simulated("fault", "list", "--root", root)
    assert shown == "guest-quiesce fails with simulated-fault: 1 left\n1 faults.\n"
    assert "1 faults cleared" in simulated("fault", "clear", "--root", root)
    assert "0 faults cleared" in simulated("fault", "clear", "--root", root)


@pytest.mark.parametrize(
    "arguments",
    [
        ("fail", "--operation", "sleep"),
        ("fail", "--operation", "freeze", "--times", "0"),
        ("delay", "--operation", "freeze", "--seconds", "-1"),
        ("delay", "--operation", "freeze"),
    ],
)
def test_what_makes_no_sense_is_a_mistake_of_usage(root: Path, arguments: tuple[str, ...]) -> None:
    result = simulate("fault", *arguments, "--root", root)
    assert result.exit_code == 2
    assert listed(root).all() == ()


def test_what_cannot_be_done_is_refused(root: Path, tmp_path: Path) -> None:
    hang = ("fault", "hang", "--operation", "read-disk", "--root")
    assert "Reading the disk" in refused(*hang, root)
    for command in ("list", "clear"):
        assert "create-host" in refused("fault", command, "--root", tmp_path)
    assert not (tmp_path / "faults.json").exists()
