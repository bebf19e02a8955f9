from pathlib import Path

import pytest

from agent.hypervisor.simulated import command_host
from agent.hypervisor.simulated.auto_start import AutoStart
from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.machine_folder import MachineFolder
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.simulate import (
    chain_on,
    host_in,
    machine_in,
    refused,
    run_process,
    simulate,
    simulated,
)
from tests.support.simulated_guest import ScriptedGuest
from tests.support.simulated_host import MIB, make_disk


def block(root: Path, machine: MachineFolder, tag: str) -> None:
    files = SystemFiles()
    effects = Effects(files, SystemClock(), SystemRandomness(), root)
    AutoStart(host_in(root), effects).block(machine.read().description.machine_id, tag)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    result = simulate(
        "create-host", "--root", tmp_path / "h", "--network", "lan", "--network", "bubble:isolated"
    )
    assert result.exit_code == 0, result.output
    return tmp_path / "h"


def test_a_host_is_made_with_its_networks(root: Path) -> None:
    networks = {network.name: network.is_isolated for network in host_in(root).networks()}
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
    description = host_in(root).get_by_name("web").read().description
    assert [disk.name for disk in description.disks] == ["a.vhdx", "b.vhdx"]
    assert [nic.network for nic in description.nics] == ["lan", "bubble"]


def test_without_a_network_the_adapter_is_disconnected(root: Path, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "a.vhdx")
    assert (
        simulate("create-machine", "--root", root, "--name", "web", "--disk", disk).exit_code == 0
    )
    (nic,) = host_in(root).get_by_name("web").read().description.nics
    assert nic.network == ""


def test_a_refused_disk_is_an_error_and_leaves_nothing(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.vhdx"
    path.write_bytes(b"junk")
    result = simulate("create-machine", "--root", root, "--name", "web", "--disk", path)
    assert result.exit_code == 1
    assert "x.vhdx" in result.output
    assert host_in(root).machines() == []


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
    machine = host_in(root).get_by_name("web")
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
    block(root, host_in(root).get_by_name("blocked"), "p1")
    booted = run_process("boot", "--root", root)
    running = [folder.path.name for folder, _ in host_in(root).machines() if folder.is_running()]
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
    running = [folder.path.name for folder, _ in host_in(root).machines() if folder.is_running()]
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


def test_disks_are_of_the_storage_class_that_was_named(root: Path, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "a.vhdx")
    made = ("create-machine", "--root", root, "--name", "web", "--disk", disk)
    simulated(*made, "--storage-class", "fast")
    (described,) = machine_in(root).read().description.disks
    assert described.storage_class == "fast"


def test_a_guest_that_is_asked_to_shut_down_closes_its_log(root: Path, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "a.vhdx")
    simulated("create-machine", "--root", root, "--name", "web", "--disk", disk)
    web = ("--root", root, "--machine", "web")
    assert "web is off" in simulated("shut-down", *web)
    started = run_process("start", *web, "--workload")
    down = run_process("shut-down", *web)
    assert (started.returncode, down.returncode) == (0, 0), started.stderr + down.stderr
    assert not machine_in(root).is_running()
    assert chain_on(machine_in(root)).is_closed
    assert "machine-shut-down" in (root / "effects.log").read_text()


def test_a_guest_that_does_not_shut_down_is_told_of(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = make_disk(tmp_path / "a.vhdx")
    simulated("create-machine", "--root", root, "--name", "web", "--disk", disk)
    monkeypatch.setattr(command_host, "SHUTDOWN_S", 0.0)
    guest = ScriptedGuest(machine_in(root))
    guest.come_up()
    said = refused("shut-down", "--root", root, "--machine", "web")
    guest.die()
    assert "did not shut down" in said
    assert "simulate stop" in said


def test_adapters_are_on_the_subnets_that_were_named(tmp_path: Path) -> None:
    root = tmp_path / "h"
    networks = ("--network", "lan", "--network", "dmz")
    simulated("create-host", "--root", root, *networks, "--subnet", "lan=app", "--subnet", "lan=db")
    assert [each.subnets for each in host_in(root).networks()] == [("app", "db"), ()]
    disk = make_disk(tmp_path / "a.vhdx")
    made = ("create-machine", "--root", root, "--name", "web", "--disk", disk, *networks)
    assert "subnet app of network dmz" in refused(*made, "--subnet", "dmz=app")
    simulated(*made, "--subnet", "lan=db")
    nics = machine_in(root).read().description.nics
    assert [(nic.network, nic.subnet) for nic in nics] == [("lan", "db"), ("dmz", "")]


@pytest.mark.parametrize("text", ["lan", "=app", "lan=", "wan=app"])
def test_a_subnet_names_its_network(tmp_path: Path, text: str) -> None:
    host = ("--root", tmp_path / "h", "--network", "lan")
    result = simulate("create-host", *host, "--subnet", text)
    assert result.exit_code == 2
    assert "subnet" in result.output
    assert not (tmp_path / "h").exists()
