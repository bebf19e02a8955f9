"""What befalls a test failover between its start and its clean-up, by other hands than the agent's."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from agent.hypervisor.simulated.machine_folder import MachineFolder
from replikera.lab.line import MACHINE_NAME
from replikera.lab.rehearsing import recovered_disks
from replikera.lab.settings_files import host_name
from replikera.lab.target_inventory import differences, target_inventory
from replikera.lab.waiting import wait_for
from tests.e2e.walk import PATIENCE_S, POLICY, Walk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TEST_MACHINE = f"{MACHINE_NAME} - test"


async def test_clean_up_takes_what_is_its_own_and_what_is_left_of_it(
    walk: Walk, tmp_path: Path
) -> None:
    target = host_name(walk.line.folder.secondary)
    options = ("--target-host", target, "--policy", POLICY)
    await walk.run("protection", "enable", MACHINE_NAME, *options, "--wait")
    foreign = await add_machine_of_the_same_name(walk, tmp_path / "sample.vhdx")
    before = await target_inventory(walk.machine, walk.line)

    plan = await walk.ask("test-failover", "start", MACHINE_NAME, "--dry-run")
    assert plan["target_host"] == target
    for network, remove in (("mapped", remove_machine), ("create", remove_disks)):
        start = ("test-failover", "start", MACHINE_NAME, "--network", network, "--wait")
        await walk.run(*start)
        await remove(walk, foreign)
        await walk.run("test-failover", "cleanup", MACHINE_NAME, "--wait")
        shown = await walk.ask("test-failover", "show", MACHINE_NAME)
        assert shown["is_successful"]
        await until_inventory(walk, before)
    assert is_running(walk, foreign), "the machine of another goes on"


async def add_machine_of_the_same_name(walk: Walk, disk: Path) -> Path:
    """Let somebody run a machine that is called like the test's; return its folder."""
    hypervisor = walk.line.folder.secondary.hypervisor
    simulate, root = ("replikera-agent", "simulate"), ("--root", str(hypervisor))
    name = ("--name", TEST_MACHINE, "--disk", str(disk), "--network", "production")
    await walk.line.commands.run(*simulate, "create-machine", *root, *name)
    await walk.line.commands.run(*simulate, "start", *root, "--machine", TEST_MACHINE)
    (folder,) = (hypervisor / "machines").iterdir()

    async def look() -> bool | None:
        machines = (await walk.ask("vm", "list"))["items"]
        listed = {machine["name"] for machine in machines if machine["is_running"]}
        return True if TEST_MACHINE in listed else None

    await wait_for(walk.machine.clock, look, what="the other machine", timeout=PATIENCE_S)
    return folder


async def remove_machine(walk: Walk, foreign: Path) -> None:
    """End the test's guest and remove its machine, as somebody would who tidies up the host."""
    machines = walk.line.folder.secondary.hypervisor / "machines"
    (folder,) = [path for path in machines.iterdir() if path != foreign]
    process_id = json.loads((folder / "guest.json").read_text())["process_id"]
    os.kill(process_id, signal.SIGKILL)

    async def look() -> bool | None:
        return None if is_running(walk, folder) else True

    await wait_for(walk.machine.clock, look, what="the end of the guest", timeout=PATIENCE_S)
    shutil.rmtree(folder)


async def remove_disks(walk: Walk, _foreign: Path) -> None:
    """Remove the disks of the test's machine under its guest, but for their folder."""
    test = await walk.ask("test-failover", "show", MACHINE_NAME)
    disks = recovered_disks(test)
    assert disks
    for _, path in disks:
        path.unlink()


def is_running(walk: Walk, folder: Path) -> bool:
    return MachineFolder(walk.machine.files, walk.machine.randomness, folder).is_running()


async def until_inventory(walk: Walk, before: frozenset[str]) -> None:
    async def look() -> bool | None:
        after = await target_inventory(walk.machine, walk.line)
        return None if differences(before, after) else True

    await wait_for(walk.machine.clock, look, what="the inventory of before", timeout=PATIENCE_S)
