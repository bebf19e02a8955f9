import asyncio
from pathlib import Path

import pytest
import typer

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated import command_host
from agent.hypervisor.simulated.command_host import host_at
from tests.support.simulate import machine_in, simulated
from tests.support.simulated_guest import ScriptedGuest
from tests.support.simulated_host import make_disk


@pytest.fixture
def root(tmp_path: Path) -> Path:
    simulated("create-host", "--root", tmp_path / "h", "--network", "lan")
    disk = make_disk(tmp_path / "web.vhdx")
    simulated("create-machine", "--root", tmp_path / "h", "--name", "web", "--disk", disk)
    return tmp_path / "h"


@pytest.mark.parametrize(
    "error", [HypervisorError("x", "It is broken.", "Mend it."), OSError("the volume is gone")]
)
def test_what_is_refused_is_told_and_ends_with_one(
    root: Path, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught, host_at(root):
        raise error
    assert caught.value.exit_code == 1
    assert capsys.readouterr().err.startswith(f"Error: {error}")


def test_a_mistake_of_the_program_is_not_dressed_up(root: Path) -> None:
    with pytest.raises(ZeroDivisionError), host_at(root):
        raise ZeroDivisionError


def test_a_guest_that_runs_without_an_answer_is_told_of(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_host, "ANSWER_S", 0.0)
    guest = ScriptedGuest(machine_in(root))
    guest.come_up(is_answering=False)
    with pytest.raises(typer.Exit), host_at(root) as host:
        asyncio.run(host.start("web", has_workload=False))
    guest.die()
    said = capsys.readouterr().err
    assert "does not answer" in said
    assert "guest.log" in said


def test_a_guest_that_answers_is_heard(root: Path) -> None:
    guest = ScriptedGuest(machine_in(root))
    guest.come_up()
    with host_at(root) as host:
        health = asyncio.run(host.start("web", has_workload=False))
    guest.die()
    assert (health.is_answering, health.summary) == (True, "fine")
