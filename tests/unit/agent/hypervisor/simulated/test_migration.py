from pathlib import Path

import pytest

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.driver import SimulatedHypervisor
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.live_disks import Write
from agent.hypervisor.simulated.machine_changes import MachineChanges
from agent.hypervisor.simulated.migration import Migration
from replikera.system.files import SystemFiles
from replikera.system.processes import SystemProcesses
from replikera.system.randomness import SystemRandomness
from tests.support.simulated_host import (
    MIB,
    Bed,
    InlineWorker,
    KilledError,
    MortalFiles,
    live_disk,
    make_bed,
    make_disk,
    read_disk,
    write_live,
)

TAG = "protection-1"


@pytest.fixture
def there(tmp_path: Path) -> Bed:
    (tmp_path / "there").mkdir()
    return make_bed(tmp_path / "there")


def migration(here: Bed, there: Bed, files: SystemFiles | None = None) -> Migration:
    return Migration(files or SystemFiles(), SystemRandomness(), here.clock, here.host, there.host)


def driver(bed: Bed) -> SimulatedHypervisor:
    return SimulatedHypervisor(
        SystemFiles(),
        InlineWorker(),
        bed.clock,
        SystemRandomness(),
        SystemProcesses(),
        bed.host.root,
    )


async def test_a_machine_arrives_whole_and_untracked(bed: Bed, there: Bed) -> None:
    disks = [make_disk(bed.folder / f"{name}.vhdx") for name in "ab"]
    machine = bed.machine(disks=disks, starts_with_host=True)
    write_live(machine, Write(0, MIB, b"x" * 512))
    described = machine.read().description
    expected = [read_disk(live_disk(machine, index)) for index in range(2)]
    old = driver(bed)
    mark = await old.keep(await old.freeze(described.machine_id, TAG))
    await old.freeze(described.machine_id, TAG)

    path = migration(bed, there).move("web")

    (arrived,) = (await driver(there).inventory()).machines
    assert arrived.description == described
    assert arrived.starts_with_host
    assert all(each.is_relative_to(path) for each in arrived.disk_paths.values())
    assert [read_disk(each) for each in arrived.disk_paths.values()] == expected
    # Views and marks were the old host's.
    new = driver(there)
    assert (await new.marks(), await new.all_views()) == ((), ())
    assert await new.mark(TAG) is None
    view = await new.freeze(described.machine_id, TAG)
    with pytest.raises(HypervisorError) as caught:
        await new.changed_ranges(view, mark)
    assert caught.value.code == "tracking-lost"
    assert (await old.inventory()).machines == ()
    with pytest.raises(HypervisorError) as caught:
        await old.freeze(described.machine_id, TAG)
    assert caught.value.code == "unknown-machine"
    assert bed.logged()[-1] == ("machine-left", described.machine_id, "")
    assert there.logged()[0] == ("machine-arrived", described.machine_id, "")


def test_a_machine_comes_back(bed: Bed, there: Bed) -> None:
    bed.machine()
    migration(bed, there).move("web")
    migration(there, bed).move("web")
    assert [each.path.name for each, _ in bed.host.machines()] == ["web"]
    assert there.host.machines() == []


def test_what_cannot_move_stays(bed: Bed, there: Bed) -> None:
    machine = bed.machine()
    machine_id = machine.read().description.machine_id
    with SystemFiles().lock(machine.guest_lock), pytest.raises(HypervisorError) as caught:
        migration(bed, there).move("web")
    assert caught.value.code == "still-running"
    with pytest.raises(HypervisorError) as caught:
        migration(bed, bed).move("web")
    assert caught.value.code == "same-host"
    with pytest.raises(HypervisorError) as caught:
        migration(bed, there).move("nobody")
    assert caught.value.code == "unknown-machine"
    changes = MachineChanges(SystemFiles(), bed.host, bed.effects)
    changes.detach_disks(machine_id)
    with pytest.raises(HypervisorError) as caught:
        migration(bed, there).move("web")
    assert caught.value.code == "disks-detached"
    assert bed.host.find(machine_id) is not None
    assert there.host.machines() == []


def test_a_host_without_the_network_takes_nobody(bed: Bed, there: Bed) -> None:
    bed.machine()
    networks = there.host.networks_path
    networks.write_text(networks.read_text().replace("production", "other"))
    with pytest.raises(HypervisorError, match="production") as caught:
        migration(bed, there).move("web")
    assert caught.value.code == "unknown-network"
    assert len(bed.host.machines()) == 1


def test_another_machine_of_that_name_is_not_replaced(bed: Bed, there: Bed) -> None:
    bed.machine()
    there.machine()
    with pytest.raises(HypervisorError) as caught:
        migration(bed, there).move("web")
    assert caught.value.code == "machine-exists"
    assert len(bed.host.machines()) == len(there.host.machines()) == 1


def test_a_move_that_was_cut_off_is_finished_by_asking_again(bed: Bed, there: Bed) -> None:
    machine = bed.machine()
    machine_id = machine.read().description.machine_id
    content = read_disk(live_disk(machine))
    seen = set()
    for step in range(1, 60):
        mortal = MortalFiles(step)
        here, target = make_mortal(bed, mortal), make_mortal(there, mortal)
        try:
            migration(here, target, mortal).move("web")
        except KilledError:
            present = (bed.host.find(machine_id), there.host.find(machine_id))
            seen.add(tuple(each is not None for each in present))
        except HypervisorError:
            # The kill before came between the removal and its end: it is there.
            assert there.host.find(machine_id) is not None
            break
        else:
            break
    assert seen >= {(True, False), (True, True)}
    assert (False, False) not in seen
    found = there.host.find(machine_id)
    assert found is not None
    assert read_disk(live_disk(found)) == content
    assert bed.host.find(machine_id) is None


def make_mortal(bed: Bed, files: SystemFiles) -> Bed:
    """Return the same host as a process sees it that dies with `files`."""
    host = HostFolder(files, SystemRandomness(), bed.host.root)
    return Bed(bed.folder, files, bed.clock, host)
