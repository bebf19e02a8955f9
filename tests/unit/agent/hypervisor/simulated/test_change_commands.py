from pathlib import Path

import pytest

from agent.hypervisor.simulated import boot
from replikera.system.files import SystemFiles
from tests.support.simulate import chain_on, machine_in, refused, run_process, simulate, simulated
from tests.support.simulated_host import MIB, live_disk, make_disk, read_disk


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with a machine "web" of one disk, web.vhdx."""
    root = tmp_path / "h"
    simulated("create-host", "--root", root, "--network", "lan")
    disk = make_disk(tmp_path / "web.vhdx", {0: b"boot" * 128})
    simulated("create-machine", "--root", root, "--name", "web", "--disk", disk, "--network", "lan")
    return root


def of_web(root: Path) -> tuple[object, ...]:
    return ("--root", root, "--machine", "web")


def effects(root: Path) -> str:
    return (root / "effects.log").read_text()


def test_a_machine_whose_power_is_cut_is_off_and_starts_again(root: Path) -> None:
    started = run_process("start", *of_web(root), "--workload")
    cut = run_process("cut-power", *of_web(root))
    machine = machine_in(root)
    assert (started.returncode, cut.returncode) == (0, 0), started.stderr + cut.stderr
    assert not machine.is_running()
    assert not chain_on(machine).is_closed
    again = run_process("start", *of_web(root), "--workload")
    stopped = run_process("stop", *of_web(root))
    assert (again.returncode, stopped.returncode) == (0, 0), again.stderr
    assert effects(root).count("machine-lost-power") == 1
    # Cut or not, a machine that is off stays so.
    assert "web is off" in simulated("cut-power", *of_web(root))


def test_a_crash_takes_the_running_machines_along(root: Path) -> None:
    started = run_process("start", *of_web(root), "--workload")
    crashed = run_process("crash-host", "--root", root)
    assert (started.returncode, crashed.returncode) == (0, 0), started.stderr + crashed.stderr
    assert "machines that ran: web" in crashed.stdout
    assert not machine_in(root).is_running()
    first = boot.boot_id(SystemFiles(), root)
    assert "machines that ran: none" in simulated("crash-host", "--root", root, "--coarse-tracking")
    assert boot.boot_id(SystemFiles(), root) not in {"", first}


def test_a_machine_is_put_back_to_a_saved_state(root: Path, tmp_path: Path) -> None:
    assert "State early of web saved" in simulated("save-state", *of_web(root), "--name", "early")
    simulated("resize-disk", *of_web(root), "--disk", "web.vhdx", "--size", "9M")
    assert "back at state early" in simulated("revert", *of_web(root), "--name", "early")
    assert len(read_disk(live_disk(machine_in(root)))) == 8 * MIB
    assert "save-state" in refused("revert", *of_web(root), "--name", "late")


def test_a_disk_gets_the_size_that_was_typed(root: Path) -> None:
    resized = ("resize-disk", *of_web(root), "--disk", "web.vhdx", "--size")
    for text, size in (("12M", 12 * MIB), ("8192K", 8 * MIB)):
        assert f"has {size} bytes" in simulated(*resized, text)
        assert [disk.size for disk in machine_in(root).read().description.disks] == [size]
    assert "cannot have" in refused(*resized, "65T")
    wrong = simulate(*resized, "twelve")
    assert wrong.exit_code == 2
    assert "is not a size" in wrong.output


def test_disks_come_and_go(root: Path, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "data.vhdx")
    simulated("add-disk", *of_web(root), "--disk", disk, "--storage-class", "slow")
    described = machine_in(root).read().description
    assert [(disk.name, disk.storage_class) for disk in described.disks] == [
        ("web.vhdx", ""),
        ("data.vhdx", "slow"),
    ]
    simulated("remove-disk", *of_web(root), "--disk", "data.vhdx")
    assert len(machine_in(root).read().description.disks) == 1
    assert "no disk" not in refused("remove-disk", *of_web(root), "--disk", "data.vhdx")
    assert "missing.vhdx" in refused("add-disk", *of_web(root), "--disk", tmp_path / "missing.vhdx")


def test_a_machine_moves_to_another_host(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert "create-host" in refused("migrate", *of_web(root), "--to", other)
    simulated("create-host", "--root", other, "--network", "lan")
    machine_id = machine_in(root).read().description.machine_id
    assert str(other) in simulated("migrate", *of_web(root), "--to", other)
    assert machine_in(other).read().description.machine_id == machine_id
    assert "no machine web" in refused("migrate", *of_web(root), "--to", other)


@pytest.mark.parametrize(
    "arguments",
    [
        ("cut-power",),
        ("save-state", "--name", "s"),
        ("revert", "--name", "s"),
        ("resize-disk", "--disk", "d", "--size", "9M"),
        ("remove-disk", "--disk", "d"),
        ("shut-down",),
    ],
)
def test_an_unknown_machine_is_named(root: Path, arguments: tuple[str, ...]) -> None:
    output = refused(*arguments, "--root", root, "--machine", "nobody")
    assert "no machine nobody" in output
