from pathlib import Path

import pytest

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.state import MachineFile
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.simulated_host import NETWORKS, Bed


def test_a_host_has_the_networks_it_was_made_with(bed: Bed) -> None:
    production, bubble = bed.host.networks()
    assert (production.name, production.is_isolated, production.subnets) == (
        "production",
        False,
        ("10.0.0.0/24",),
    )
    assert (bubble.name, bubble.is_isolated) == ("bubble", True)
    assert bed.host.storage_path.is_dir()


def test_a_host_is_not_made_twice(bed: Bed) -> None:
    with pytest.raises(HypervisorError, match="already") as caught:
        bed.host.create(NETWORKS)
    assert caught.value.code == "host-exists"


def test_a_folder_that_is_no_host_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match="create-host") as caught:
        HostFolder(SystemFiles(), SystemRandomness(), tmp_path).networks()
    assert str(tmp_path) in caught.value.cause


def test_machines_are_found_by_id_and_by_name(bed: Bed) -> None:
    web, other = bed.machine("web"), bed.machine("database 1")
    web_id = web.read().description.machine_id
    assert bed.host.get(web_id).path == bed.host.get_by_name("web").path == web.path
    assert [folder.path for folder, _ in bed.host.machines()] == [other.path, web.path]
    for find in (bed.host.get, bed.host.get_by_name):
        with pytest.raises(HypervisorError) as caught:
            find("nobody")
        assert caught.value.code == "unknown-machine"
    assert bed.host.find("nobody") is None


def test_a_machine_whose_building_fails_leaves_nothing(bed: Bed) -> None:
    def build(folder: Path) -> MachineFile:
        (folder / "half").write_bytes(b"")
        raise HypervisorError("x", "No.", "Never.")

    with pytest.raises(HypervisorError), bed.host.lock():
        bed.host.add_machine(build)
    assert list(bed.host.machines_path.iterdir()) == []


def test_what_a_crash_left_is_no_machine_and_goes_with_the_next(bed: Bed) -> None:
    leftover = bed.host.machines_path / ".unfinished-1"
    leftover.mkdir()
    (leftover / "machine.json").write_text("{")
    assert bed.host.machines() == []
    bed.machine()
    assert [path.name for path in bed.host.machines_path.iterdir()] == ["web"]


def test_a_folder_without_a_description_is_left_alone(bed: Bed) -> None:
    (bed.host.machines_path / "notes").mkdir()
    bed.machine()
    assert [folder.path.name for folder, _ in bed.host.machines()] == ["web"]
    assert (bed.host.machines_path / "notes").is_dir()


def test_machines_of_one_name_have_folders_of_their_own(bed: Bed) -> None:
    machine = bed.machine().read()
    with bed.host.lock():
        second = bed.host.add_machine(lambda _: machine)
    assert second.path.name == f"web {machine.description.machine_id[:8]}"


@pytest.mark.parametrize("name", ["", " ", "a/b", "..", ".hidden", "a\\b", "a\0b", "n" * 101])
def test_names_that_are_no_folder_are_refused(bed: Bed, name: str) -> None:
    disk = bed.machine("web").path / "disks" / "web.vhdx"
    with pytest.raises(HypervisorError, match="cannot be the name") as caught:
        bed.machine(name, disks=[disk])
    assert caught.value.code == "bad-name"
    assert len(bed.host.machines()) == 1


def test_unknown_networks_are_refused_and_disconnected_is_none(bed: Bed) -> None:
    bed.host.check_networks({"", "bubble"})
    with pytest.raises(HypervisorError, match="no network lan, wan"):
        bed.host.check_networks({"bubble", "wan", "lan"})


def test_a_removed_machine_is_gone_with_its_folder(bed: Bed) -> None:
    machine = bed.machine()
    with bed.host.lock(), machine.lock():
        bed.host.remove_machine(machine)
    assert bed.host.machines() == []
    assert list(bed.host.machines_path.iterdir()) == []
