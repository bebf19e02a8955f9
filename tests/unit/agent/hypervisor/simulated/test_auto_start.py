import json

import pytest

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated import auto_start
from agent.hypervisor.simulated.auto_start import AutoStart
from agent.hypervisor.simulated.machine_folder import MACHINE_FILE, MachineFolder
from tests.support.simulated_host import Bed


@pytest.fixture
def blocks(bed: Bed) -> AutoStart:
    return AutoStart(bed.host, bed.effects)


@pytest.fixture
def machine(bed: Bed) -> MachineFolder:
    return bed.machine(starts_with_host=True)


def id_of(machine: MachineFolder) -> str:
    return machine.read().description.machine_id


def test_a_block_keeps_the_machine_down_and_its_end_gives_the_owner_back(
    blocks: AutoStart, machine: MachineFolder
) -> None:
    assert machine.read().is_auto_started
    blocks.block(id_of(machine), "p1")
    assert not machine.read().is_auto_started
    assert machine.read().starts_with_host
    blocks.allow(id_of(machine), "p1")
    assert machine.read().is_auto_started


def test_a_machine_that_did_not_start_with_its_host_does_not_after_a_block(
    bed: Bed, blocks: AutoStart
) -> None:
    machine = bed.machine()
    blocks.block(id_of(machine), "p1")
    blocks.allow(id_of(machine), "p1")
    assert not machine.read().is_auto_started


def test_each_tag_has_a_block_of_its_own(blocks: AutoStart, machine: MachineFolder) -> None:
    for tag in ("p1", "p2"):
        blocks.block(id_of(machine), tag)
    blocks.allow(id_of(machine), "p1")
    assert not machine.read().is_auto_started
    blocks.allow(id_of(machine), "p2")
    assert machine.read().is_auto_started


def test_only_what_changes_something_is_logged(
    bed: Bed, blocks: AutoStart, machine: MachineFolder
) -> None:
    blocks.allow(id_of(machine), "p1")
    assert bed.logged() == []
    for call in (blocks.block, blocks.block, blocks.allow, blocks.allow):
        call(id_of(machine), "p1")
    assert bed.logged() == [
        ("auto-start-blocked", id_of(machine), "p1"),
        ("auto-start-allowed", id_of(machine), "p1"),
    ]


def test_an_unknown_machine_is_named(blocks: AutoStart) -> None:
    for call in (blocks.block, blocks.allow):
        with pytest.raises(HypervisorError, match="no machine nobody") as caught:
            call("nobody", "p1")
        assert caught.value.code == "unknown-machine"


def test_a_block_needs_a_tag(blocks: AutoStart, machine: MachineFolder) -> None:
    with pytest.raises(HypervisorError, match="tag of a block"):
        blocks.block(id_of(machine), "")


def test_there_is_a_bound(
    blocks: AutoStart, machine: MachineFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto_start, "MAX_BLOCKS", 1)
    blocks.block(id_of(machine), "p1")
    with pytest.raises(HypervisorError, match="web is blocked by 1 tags") as caught:
        blocks.block(id_of(machine), "p2")
    assert caught.value.code == "too-many-blocks"
    assert machine.read().auto_start_blocks == ("p1",)


def test_a_machine_of_a_host_made_before_there_were_blocks_has_none(bed: Bed) -> None:
    machine = bed.machine()
    path = machine.path / MACHINE_FILE
    document = json.loads(path.read_text())
    del document["auto_start_blocks"]
    path.write_text(json.dumps(document))
    assert machine.read().auto_start_blocks == ()
