import errno
import shutil
from pathlib import Path

import pytest
from typing_extensions import override

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.driver import SimulatedHypervisor, SimulatedSettings
from agent.hypervisor.simulated.effects import Effects, Evidence
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
