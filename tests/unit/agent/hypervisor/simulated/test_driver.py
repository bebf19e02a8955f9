import errno
import shutil
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from agent.hypervisor.guest_address import GuestAddress
from agent.hypervisor.interface import (
    Consistency,
    HypervisorError,
    MachineDefinition,
    Mark,
    View,
)
from agent.hypervisor.simulated.driver import SimulatedHypervisor, SimulatedSettings
from agent.hypervisor.simulated.effects import Effects, Evidence
from agent.hypervisor.simulated.faults import Fault, FaultKind, FaultList, Operation
from replikera.settings import SettingsError, load_settings
from replikera.system.files import SystemFiles
from replikera.system.processes import SystemProcesses
from replikera.system.randomness import SystemRandomness
from tests.support.simulated_host import Bed, InlineWorker, SteppingClock


def driver(root: Path, files: SystemFiles | None = None) -> SimulatedHypervisor:
    return SimulatedHypervisor(
        files or SystemFiles(),
        InlineWorker(),
        SteppingClock(),
        SystemRandomness(),
        SystemProcesses(),
        root,
    )


async def test_a_folder_that_is_no_host_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match="create-host") as caught:
        await driver(tmp_path).inventory()
    assert caught.value.code == "no-host"


async def test_a_volume_that_fails_is_an_error_of_the_host(bed: Bed) -> None:
    class FullFiles(SystemFiles):
        @override
        def sync_directory(self, path: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    machine_id = bed.machine().read().description.machine_id
    full = driver(bed.host.root, FullFiles())
    with pytest.raises(HypervisorError, match="No space left") as caught:
        await full.freeze(machine_id, "p")
    assert caught.value.code == "host-storage"
    assert await driver(bed.host.root).views("p") == ()


async def test_what_every_driver_tells_of_itself(bed: Bed) -> None:
    hypervisor = driver(bed.host.root)
    assert hypervisor.kind == "simulated"
    assert hypervisor.minimum_copy_interval_s == 1.0
    assert hypervisor.storage_path == bed.host.root / "storage"


def test_settings_name_the_root_and_what_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('root = "/srv/host"\nkeep_views = 3\n')
    assert load_settings(SystemFiles(), path, SimulatedSettings) == SimulatedSettings(
        Path("/srv/host"), 3
    )


@pytest.mark.parametrize("line", ["keep_views = -1", "colour = 1"])
def test_wrong_settings_are_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f'root = "/srv/host"\n{line}\n')
    with pytest.raises(SettingsError, match=line.split(maxsplit=1)[0]):
        load_settings(SystemFiles(), path, SimulatedSettings)


async def test_the_inventory_settles_what_a_killed_process_left(bed: Bed) -> None:
    machine = bed.machine()
    machine_id = machine.read().description.machine_id
    path = machine.path / "machine.json"
    for place, subject in ((bed.host.root, "host"), (machine.path, "machine")):
        made = bed.effects.making(place, "seen", subject, "p1", Evidence(path, path.read_bytes()))
        with pytest.raises(KeyboardInterrupt), made:
            raise KeyboardInterrupt
    assert bed.logged() == []
    for _ in range(2):
        (found,) = (await driver(bed.host.root).inventory()).machines
        assert found.description.machine_id == machine_id
        assert bed.logged() == [("seen", "host", "p1"), ("seen", "machine", "p1")]


async def test_a_machine_that_goes_while_it_is_settled_is_no_trouble(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = bed.machine()
    gone = (machine, machine.read())
    shutil.rmtree(machine.path)
    hypervisor = driver(bed.host.root)
    monkeypatch.setattr(Effects, "is_unsettled", lambda _self, place: place == machine.path)
    monkeypatch.setattr(hypervisor._host, "machines", iter([[gone], []]).__next__)
    assert (await hypervisor.inventory()).machines == ()


def asked_for(bed: Bed, *faults: Fault) -> FaultList:
    listed = FaultList(SystemFiles(), SystemRandomness(), bed.host.root)
    for fault in faults:
        listed.add(fault)
    return listed


def failing(operation: Operation, *, is_after: bool = False) -> Fault:
    return Fault("", operation, FaultKind.FAIL, 1, 0.0, "asked-for", "It fails.", is_after)


def calls(hypervisor: SimulatedHypervisor, view: View, tmp_path: Path) -> dict[str, Awaitable[Any]]:
    """Return one call of every operation, by its name; most would be refused if they were made."""
    machine_id = view.machine_id
    definition = MachineDefinition("tag", "copy", view.description, {}, {})
    mark = Mark(view.view_id, machine_id, view.tag)
    return {
        "inventory": hypervisor.inventory(),
        "networks": hypervisor.networks(),
        "describe": hypervisor.describe(machine_id),
        "freeze": hypervisor.freeze(machine_id, "tag"),
        "all-views": hypervisor.all_views(),
        "views": hypervisor.views("tag"),
        "changed-ranges": hypervisor.changed_ranges(view, mark),
        "open-disk": hypervisor.open_disk(view, "disk"),
        "view-growth": hypervisor.view_growth(view),
        "keep": hypervisor.keep(view),
        "discard": hypervisor.discard(view),
        "marks": hypervisor.marks(),
        "mark": hypervisor.mark("tag"),
        "drop-mark": hypervisor.drop_mark(mark),
        "check-disk": hypervisor.check_disk(tmp_path),
        "define-machine": hypervisor.define_machine(definition),
        "start": hypervisor.start(machine_id),
        "guest-health": hypervisor.guest_health(machine_id),
        "set-guest-address": hypervisor.set_guest_address(machine_id, "nic", GuestAddress()),
        "shut-down": hypervisor.shut_down(machine_id),
        "power-off": hypervisor.power_off(machine_id),
        "remove-machine": hypervisor.remove_machine(machine_id, "tag"),
        "detach-disks": hypervisor.detach_disks(machine_id),
        "attach-disks": hypervisor.attach_disks(machine_id, {}),
        "ensure-isolated-network": hypervisor.ensure_isolated_network("net", "tag"),
        "remove-isolated-network": hypervisor.remove_isolated_network("net", "tag"),
        "block-auto-start": hypervisor.block_auto_start(machine_id, "tag"),
        "allow-auto-start": hypervisor.allow_auto_start(machine_id, "tag"),
    }


async def test_every_operation_can_be_made_to_fail_before_it_does_anything(
    bed: Bed, tmp_path: Path
) -> None:
    machine_id = bed.machine().read().description.machine_id
    hypervisor = driver(bed.host.root)
    view = await hypervisor.freeze(machine_id, "p")
    logged = bed.logged()
    made = calls(hypervisor, view, tmp_path)
    listed = asked_for(bed, *(failing(Operation(name)) for name in made))
    beside = {Operation.READ_DISK, Operation.GUEST_QUIESCE, Operation.GUEST_SHUT_DOWN}
    assert {Operation(name) for name in made} == set(Operation) - beside
    for call in made.values():
        with pytest.raises(HypervisorError, match="It fails") as caught:
            await call
        assert caught.value.code == "asked-for"
    assert bed.logged() == logged
    assert listed.all() == ()


async def test_an_answer_that_is_lost_comes_after_the_effect(bed: Bed) -> None:
    machine_id = bed.machine().read().description.machine_id
    hypervisor = driver(bed.host.root)
    asked_for(bed, failing(Operation.FREEZE, is_after=True))
    with pytest.raises(HypervisorError):
        await hypervisor.freeze(machine_id, "p")
    (view,) = await hypervisor.views("p")
    asked_for(bed, failing(Operation.KEEP, is_after=True))
    with pytest.raises(HypervisorError):
        await hypervisor.keep(view)
    mark = await hypervisor.mark("p")
    assert mark is not None
    assert await hypervisor.keep(view) == mark


async def test_reading_a_view_can_be_made_to_fail(bed: Bed) -> None:
    machine_id = bed.machine().read().description.machine_id
    hypervisor = driver(bed.host.root)
    view = await hypervisor.freeze(machine_id, "p")
    disk = await hypervisor.open_disk(view, view.description.disks[0].disk_id)
    asked_for(bed, failing(Operation.READ_DISK))
    with pytest.raises(HypervisorError, match="It fails"):
        disk.read(512, 0)
    assert disk.read(512, 0)[:4] == b"boot"
    disk.close()


async def test_a_view_of_a_machine_that_is_off_falls_back_and_says_why(bed: Bed) -> None:
    machine_id = bed.machine().read().description.machine_id
    hypervisor = driver(bed.host.root)
    view = await hypervisor.freeze(machine_id, "p", Consistency.APPLICATION)
    assert (view.consistency, view.fallback) == (Consistency.CRASH, "the guest is not running")
    assert await hypervisor.views("p") == (view,)


async def test_a_volume_that_fails_while_a_guest_is_asked_is_an_error_of_the_host(bed: Bed) -> None:
    class FullFiles(SystemFiles):
        @override
        def link(self, source: Path, target: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))

        @override
        def sync_directory(self, path: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    machine_id = bed.machine().read().description.machine_id
    with pytest.raises(HypervisorError, match="No space left") as caught:
        await driver(bed.host.root, FullFiles()).freeze(machine_id, "p", Consistency.APPLICATION)
    assert caught.value.code == "host-storage"
