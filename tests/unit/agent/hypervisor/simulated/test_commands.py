import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agent.hypervisor.simulated.auto_start import AutoStart
from agent.hypervisor.simulated.commands import app
from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.machine_folder import MachineFolder
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.simulated_host import MIB, make_disk


def simulate(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command as an operator does: what it starts lives on when it has ended."""
    program = "from agent.hypervisor.simulated.commands import app; app()"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def block(root: Path, machine: MachineFolder, tag: str) -> None:
    files = SystemFiles()
    effects = Effects(files, SystemClock(), SystemRandomness(), root)
    AutoStart(files, host(root), effects).block(machine.read().description.machine_id, tag)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    result = simulate(
        "create-host", "--root", tmp_path / "h", "--network", "lan", "--network", "bubble:isolated"
    )
    assert result.exit_code == 0, result.output
    return tmp_path / "h"


def host(root: Path) -> HostFolder:
    return HostFolder(SystemFiles(), SystemRandomness(), root)


def test_a_host_is_made_with_its_networks(root: Path) -> None:
    networks = {network.name: network.is_isolated for network in host(root).networks()}
    assert networks == {"lan": False, "bubble": True}
    again = simulate("create-host", "--root", root, "--network", "lan")
    assert again.exit_code == 1
    assert "is a simulated host already" in again.output


def test_a_machine_is_made_of_copies(root: Path, tmp_path: Path) -> None:
    disks = [make_disk(tmp_path / f"{name}.vhdx") for name in "ab"]
    result = simulate(
        "create-machine", "--root", root, "--name", "web", "--network", "lan", "--network", "bubble",
        "--disk", disks[0], "--disk", disks[1],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    description = host(root).get_by_name("web").read().description
    assert [disk.name for disk in description.disks] == ["a.vhdx", "b.vhdx"]
    assert [nic.network for nic in description.nics] == ["lan", "bubble"]


def test_without_a_network_the_adapter_is_disconnected(root: Path, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "a.vhdx")
    assert (
        simulate("create-machine", "--root", root, "--name", "web", "--disk", disk).exit_code == 0
    )
    (nic,) = host(root).get_by_name("web").read().description.nics
    assert nic.network == ""


def test_a_refused_disk_is_an_error_and_leaves_nothing(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.vhdx"
    path.write_bytes(b"junk")
    result = simulate("create-machine", "--root", root, "--name", "web", "--disk", path)
    assert result.exit_code == 1
    assert "x.vhdx" in result.output
    assert host(root).machines() == []


@pytest.mark.parametrize("command", ["start", "stop"])
def test_an_unknown_machine_is_named(root: Path, command: str) -> None:
    result = simulate(command, "--root", root, "--machine", "nobody")
    assert result.exit_code == 1
    assert "no machine nobody" in result.output


def test_a_folder_that_is_no_host_is_named(tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "a.vhdx")
    result = simulate("create-machine", "--root", tmp_path / "h", "--name", "w", "--disk", disk)
    assert result.exit_code == 1
    assert "create-host" in result.output
    assert not (tmp_path / "h" / "machines").exists()


def test_a_workload_that_is_refused_is_an_error_and_the_machine_can_be_stopped(
    root: Path, tmp_path: Path
) -> None:
    disk = make_disk(tmp_path / "a.vhdx", size=3 * MIB)
    simulate("create-machine", "--root", root, "--name", "web", "--disk", disk)
    started = run_process("start", "--root", root, "--machine", "web", "--workload")
    machine = host(root).get_by_name("web")
    was_running = machine.is_running()
    stopped = run_process("stop", "--root", root, "--machine", "web")
    assert (started.returncode, stopped.returncode) == (1, 0)
    assert "4 MiB or more" in started.stderr
    assert was_running
    assert not machine.is_running()


def test_a_host_that_starts_starts_what_may_start_with_it(root: Path, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "a.vhdx")
    for name, more in (("stays", []), ("blocked", ["--auto-start"]), ("starts", ["--auto-start"])):
        made = simulate("create-machine", "--root", root, "--name", name, "--disk", disk, *more)
        assert made.exit_code == 0, made.output
    block(root, host(root).get_by_name("blocked"), "p1")
    booted = run_process("boot", "--root", root)
    running = [folder.path.name for folder, _ in host(root).machines() if folder.is_running()]
    again = run_process("boot", "--root", root)
    stopped = run_process("stop", "--root", root, "--machine", "starts")
    assert (booted.returncode, again.returncode, stopped.returncode) == (0, 0, 0), booted.stderr
    assert running == ["starts"]
    assert "starts: no workload records" in booted.stdout
    assert "1 machines start with the host" in booted.stdout
    log = (root / "effects.log").read_text()
    assert log.count("machine-started") == log.count("machine-powered-off") == 1


def test_one_machine_that_does_not_come_up_keeps_no_other_down(root: Path, tmp_path: Path) -> None:
    for name, size in (("broken", 3 * MIB), ("whole", 8 * MIB)):
        disk = make_disk(tmp_path / f"{name}.vhdx", size=size)
        simulate("create-machine", "--root", root, "--name", name, "--disk", disk, "--auto-start")
    booted = run_process("boot", "--root", root, "--workload")
    running = [folder.path.name for folder, _ in host(root).machines() if folder.is_running()]
    for name in ("broken", "whole"):
        assert run_process("stop", "--root", root, "--machine", name).returncode == 0
    assert booted.returncode == 1
    assert "broken: " in booted.stderr
    assert "whole: " in booted.stdout
    assert running == ["broken", "whole"]


def test_a_host_without_machines_starts_none(root: Path) -> None:
    result = simulate("boot", "--root", root)
    assert result.exit_code == 0, result.output
    assert "0 machines start with the host" in result.output
