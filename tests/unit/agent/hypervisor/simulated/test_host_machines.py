import pytest

from agent.hypervisor.guest_address import GuestAddress
from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.host_machines import HostMachines
from agent.hypervisor.simulated.machine_changes import MachineChanges
from replikera.system.files import SystemFiles
from tests.support.simulated_host import Bed, live_disk, make_disk


def test_a_machine_is_shown_with_its_files_and_addresses(bed: Bed) -> None:
    disks = [make_disk(bed.folder / f"{name}.vhdx") for name in "ab"]
    folder = bed.machine(disks=disks, starts_with_host=True)
    description = folder.read().description
    changes = MachineChanges(SystemFiles(), bed.host, bed.effects)
    nic = description.nics[0].nic_id
    changes.set_guest_address(description.machine_id, nic, GuestAddress(("10.0.0.5/24",)))

    shown = HostMachines(bed.host, bed.effects).describe(description.machine_id)

    assert (shown.description, shown.is_running, shown.tag) == (description, False, "")
    assert shown.starts_with_host
    assert shown.guest_addresses == {nic: GuestAddress(("10.0.0.5/24",))}
    ids = [disk.disk_id for disk in description.disks]
    files = {disk_id: live_disk(folder, index) for index, disk_id in enumerate(ids)}
    assert shown.disk_paths == files
    # The files of detached disks are shown still, in the same words.
    machines = HostMachines(bed.host, bed.effects)
    detached = machines.changed(description.machine_id, changes.detach_disks)
    assert detached.description.disks == ()
    assert detached.disk_paths == files
    assert machines.inventory().machines == (detached,)


def test_an_unknown_machine_is_named(bed: Bed) -> None:
    with pytest.raises(HypervisorError, match="nobody") as caught:
        HostMachines(bed.host, bed.effects).describe("nobody")
    assert caught.value.code == "unknown-machine"


def test_a_running_machine_is_shown_as_one(bed: Bed) -> None:
    folder = bed.machine()
    with SystemFiles().lock(folder.guest_lock):
        (shown,) = HostMachines(bed.host, bed.effects).inventory().machines
    assert shown.is_running
