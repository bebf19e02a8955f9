import json
from pathlib import Path

import pytest

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.machine_folder import MachineFolder, examine_disks, open_disk
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.simulated_host import MIB, Bed, live_disk, make_disk

FILES = SystemFiles()


def test_relative_disks_are_in_the_machines_folder_and_absolute_ones_where_they_say(
    bed: Bed,
) -> None:
    machine = bed.machine()
    path = machine.path / "machine.json"
    document = json.loads(path.read_text())
    document["disk_paths"] = ["/somewhere/else.vhdx"]
    assert live_disk(machine) == machine.path / "disks" / "web.vhdx"
    path.write_text(json.dumps(document))
    assert live_disk(machine) == Path("/somewhere/else.vhdx")


def test_a_machine_that_is_gone_is_unknown(bed: Bed) -> None:
    gone = MachineFolder(FILES, SystemRandomness(), bed.host.machines_path / "gone")
    with pytest.raises(HypervisorError, match="no machine gone") as caught:
        gone.read()
    assert caught.value.code == "unknown-machine"
    with pytest.raises(HypervisorError, match="no machine gone"), gone.lock():
        pytest.fail("the lock of nothing was taken")


def test_an_error_inside_the_lock_stays_what_it_is(bed: Bed) -> None:
    with pytest.raises(FileNotFoundError), bed.machine().lock():
        FILES.open_read(bed.folder / "nothing")


@pytest.mark.parametrize(
    ("paths", "copies", "problem"),
    [([], 1, "1 disks, but 0 paths"), (["a"] * 65, 65, "65 disks"), (["a", "a"], 2, "same id")],
)
def test_a_description_that_contradicts_itself_is_refused(
    bed: Bed, paths: list[str], copies: int, problem: str
) -> None:
    machine = bed.machine()
    path = machine.path / "machine.json"
    document = json.loads(path.read_text())
    document["disk_paths"] = paths
    document["description"]["disks"] *= copies
    path.write_text(json.dumps(document))
    with pytest.raises(HypervisorError, match=problem) as caught:
        machine.read()
    assert str(path) in caught.value.cause


def test_running_is_that_the_guests_lock_is_held(bed: Bed) -> None:
    machine = bed.machine()
    assert not machine.is_running()
    with FILES.lock(machine.guest_lock):
        assert machine.is_running()
    assert not machine.is_running()


def test_disks_are_known_by_their_own_id_and_size(bed: Bed) -> None:
    machine = bed.machine(disks=[make_disk(bed.folder / "a.vhdx", size=9 * MIB)])
    described = machine.read()
    (identity,), _ = examine_disks(FILES, described, machine.disk_paths(described))
    with open_disk(FILES, bed.folder / "a.vhdx") as image:
        assert (identity.file_id, identity.size) == (image.disk_id, 9 * MIB)
    assert identity.disk_id == described.description.disks[0].disk_id


def test_a_disk_that_cannot_be_used_is_named_with_a_remedy(bed: Bed) -> None:
    foreign = bed.folder / "foreign.vhdx"
    foreign.write_bytes(b"QFI\xfb" * 1000)
    for path in (foreign, bed.folder / "missing.vhdx"):
        with pytest.raises(HypervisorError, match=path.name) as caught:
            open_disk(FILES, path)
        assert caught.value.code == "bad-disk"
        assert caught.value.remedy
