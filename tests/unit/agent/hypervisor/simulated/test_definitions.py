from dataclasses import replace
from pathlib import Path

import pytest

from agent.hypervisor.interface import HypervisorError, MachineDefinition
from agent.hypervisor.simulated.definitions import Definitions
from replikera.machine import Disk, MachineDescription, NetworkAdapter
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.simulated_host import Bed, make_disk

SOURCE = MachineDescription(
    machine_id="source-machine",
    name="web",
    hardware_generation=2,
    processors=4,
    memory_bytes=8 << 30,
    firmware="uefi",
    disks=(Disk("d:1", "system.vhdx", 8 << 20, 512, "scsi", 0, 0),),
    nics=(
        NetworkAdapter("n1", "first", "00155d000001", "production"),
        NetworkAdapter("n2", "second", "00155d000002", "production"),
    ),
)


@pytest.fixture
def definitions(bed: Bed) -> Definitions:
    return Definitions(SystemFiles(), SystemRandomness(), bed.host, bed.effects)


@pytest.fixture
def definition(bed: Bed) -> MachineDefinition:
    disk = make_disk(bed.host.storage_path / "recovered.vhdx")
    return MachineDefinition("rehearsal-1", "web - test", SOURCE, {"d:1": disk}, {"n1": "bubble"})


def test_a_machine_is_defined_on_its_disks_and_networks(
    bed: Bed, definitions: Definitions, definition: MachineDefinition
) -> None:
    machine_id = definitions.define(definition)
    machine = bed.host.get(machine_id)
    found = machine.read()
    assert machine_id != SOURCE.machine_id
    assert (found.tag, found.is_auto_started) == ("rehearsal-1", False)
    assert found.auto_start_blocks == ("rehearsal-1",)
    assert found.description == replace(
        SOURCE,
        machine_id=machine_id,
        name="web - test",
        nics=(replace(SOURCE.nics[0], network="bubble"), replace(SOURCE.nics[1], network="")),
    )
    assert machine.disk_paths(found) == (definition.disk_paths["d:1"],)
    assert not machine.is_running()


def test_defining_twice_is_defining_once(
    bed: Bed, definitions: Definitions, definition: MachineDefinition
) -> None:
    assert definitions.define(definition) == definitions.define(definition)
    assert len(bed.host.machines()) == 1
    assert (bed.host.root / "effects.log").read_text().count("machine-defined") == 1


def test_an_unknown_network_is_refused(
    bed: Bed, definitions: Definitions, definition: MachineDefinition
) -> None:
    with pytest.raises(HypervisorError, match="no network wan") as caught:
        definitions.define(replace(definition, networks={"n1": "wan"}))
    assert caught.value.code == "unknown-network"
    assert bed.host.machines() == []


@pytest.mark.parametrize("paths", [{}, {"d:1": Path("relative.vhdx")}])
def test_every_disk_needs_a_path(
    definitions: Definitions, definition: MachineDefinition, paths: dict[str, Path]
) -> None:
    with pytest.raises(HypervisorError, match="d:1") as caught:
        definitions.define(replace(definition, disk_paths=paths))
    assert caught.value.code == "bad-definition"


def test_a_disk_that_is_none_is_refused(
    bed: Bed, definitions: Definitions, definition: MachineDefinition
) -> None:
    definition.disk_paths["d:1"].write_bytes(b"junk")
    with pytest.raises(HypervisorError) as caught:
        definitions.define(definition)
    assert caught.value.code == "bad-disk"
    assert bed.host.machines() == []


def test_a_machine_needs_a_tag(definitions: Definitions, definition: MachineDefinition) -> None:
    with pytest.raises(HypervisorError, match="tag"):
        definitions.define(replace(definition, tag=""))


def test_removing_takes_the_machine_and_leaves_its_disks(
    bed: Bed, definitions: Definitions, definition: MachineDefinition
) -> None:
    machine_id = definitions.define(definition)
    definitions.remove(machine_id, "rehearsal-1")
    definitions.remove(machine_id, "rehearsal-1")
    assert list(bed.host.machines_path.iterdir()) == []
    assert definition.disk_paths["d:1"].is_file()
    assert (bed.host.root / "effects.log").read_text().count("machine-removed") == 1


@pytest.mark.parametrize("tag", ["rehearsal-2", ""])
def test_machines_of_others_are_not_removed(bed: Bed, definitions: Definitions, tag: str) -> None:
    machine_id = bed.machine().read().description.machine_id
    with pytest.raises(HypervisorError, match="does not carry") as caught:
        definitions.remove(machine_id, tag)
    assert caught.value.code == "not-ours"
    assert len(bed.host.machines()) == 1


def test_a_running_machine_is_not_removed(
    bed: Bed, definitions: Definitions, definition: MachineDefinition
) -> None:
    machine_id = definitions.define(definition)
    lock = bed.host.get(machine_id).guest_lock
    with SystemFiles().lock(lock), pytest.raises(HypervisorError, match="running") as caught:
        definitions.remove(machine_id, "rehearsal-1")
    assert caught.value.code == "still-running"
    assert len(bed.host.machines()) == 1


def test_an_adapter_keeps_a_subnet_that_its_new_network_has(
    definitions: Definitions, definition: MachineDefinition, bed: Bed
) -> None:
    (nic, *_) = definition.description.nics
    for tag, subnet, expected in (("r1", "10.0.0.0/24", "10.0.0.0/24"), ("r2", "elsewhere", "")):
        on_it = replace(nic, subnet=subnet)
        machine = replace(definition.description, nics=(on_it,))
        networks = {nic.nic_id: "production"}
        wanted = replace(definition, tag=tag, name=tag, description=machine, networks=networks)
        (found,) = bed.host.get(definitions.define(wanted)).read().description.nics
        assert (found.network, found.subnet) == ("production", expected)
