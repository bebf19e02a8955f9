from dataclasses import replace

import pytest

from agent.hypervisor.interface import HypervisorError, Network
from agent.hypervisor.simulated import networks, state
from agent.hypervisor.simulated.machine_folder import MACHINE_FILE
from agent.hypervisor.simulated.networks import Networks
from agent.hypervisor.simulated.state import NetworkEntry, NetworksFile
from replikera.system.files import SystemFiles
from tests.support.simulated_host import NETWORKS, Bed

MADE = Network("test-1", is_isolated=True, subnets=(), tag="rehearsal-1")


@pytest.fixture
def switches(bed: Bed) -> Networks:
    return Networks(SystemFiles(), bed.host, bed.effects)


def test_an_isolated_network_is_made_and_found_by_its_tag(bed: Bed, switches: Networks) -> None:
    assert switches.ensure_isolated("test-1", "rehearsal-1") == MADE
    assert bed.host.networks()[-1] == MADE
    assert [network.tag for network in bed.host.networks()[:-1]] == ["", ""]


def test_making_it_twice_is_making_it_once(bed: Bed, switches: Networks) -> None:
    assert switches.ensure_isolated("test-1", "rehearsal-1") == MADE
    assert switches.ensure_isolated("test-1", "rehearsal-1") == MADE
    assert len(bed.host.networks()) == 3
    assert bed.logged() == [("network-created", "test-1", "rehearsal-1")]


@pytest.mark.parametrize("name", ["bubble", "production"])
def test_a_network_of_the_host_is_not_taken_over(bed: Bed, switches: Networks, name: str) -> None:
    with pytest.raises(HypervisorError, match=f"{name} already.*was not made by") as caught:
        switches.ensure_isolated(name, "rehearsal-1")
    assert caught.value.code == "network-exists"
    assert bed.logged() == []


def test_a_network_of_another_tag_is_not_taken_over(bed: Bed, switches: Networks) -> None:
    switches.ensure_isolated("test-1", "rehearsal-1")
    with pytest.raises(HypervisorError, match="rehearsal-1") as caught:
        switches.ensure_isolated("test-1", "rehearsal-2")
    assert caught.value.code == "network-exists"
    assert len(bed.logged()) == 1


@pytest.mark.parametrize("name", ["", " ", "a\nb", "n" * 101])
def test_names_that_nobody_could_read_are_refused(switches: Networks, name: str) -> None:
    with pytest.raises(HypervisorError, match="name of a network") as caught:
        switches.ensure_isolated(name, "rehearsal-1")
    assert caught.value.code == "bad-name"


@pytest.mark.parametrize("tag", ["", "../x"])
def test_a_network_needs_a_tag(switches: Networks, tag: str) -> None:
    with pytest.raises(HypervisorError, match="tag of a network"):
        switches.ensure_isolated("test-1", tag)


def test_there_is_a_bound(bed: Bed, switches: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "MAX_NETWORKS", len(NETWORKS))
    with pytest.raises(HypervisorError, match="has 2 networks") as caught:
        switches.ensure_isolated("test-1", "rehearsal-1")
    assert caught.value.code == "too-many-networks"
    assert len(bed.host.networks()) == 2


def test_removing_twice_is_removing_once(bed: Bed, switches: Networks) -> None:
    switches.ensure_isolated("test-1", "rehearsal-1")
    switches.remove_isolated("test-1", "rehearsal-1")
    switches.remove_isolated("test-1", "rehearsal-1")
    assert [network.name for network in bed.host.networks()] == ["production", "bubble"]
    assert [effect for effect, _, _ in bed.logged()] == ["network-created", "network-removed"]


@pytest.mark.parametrize(
    ("name", "tag"), [("bubble", "rehearsal-1"), ("test-1", "rehearsal-2"), ("bubble", "")]
)
def test_a_network_of_another_is_not_removed(
    bed: Bed, switches: Networks, name: str, tag: str
) -> None:
    switches.ensure_isolated("test-1", "rehearsal-1")
    with pytest.raises(HypervisorError, match="does not carry the tag") as caught:
        switches.remove_isolated(name, tag)
    assert caught.value.code == "not-ours"
    assert len(bed.host.networks()) == 3


def test_a_network_in_use_is_not_removed(bed: Bed, switches: Networks) -> None:
    switches.ensure_isolated("test-1", "rehearsal-1")
    folder = bed.machine()
    machine = folder.read()
    (nic,) = machine.description.nics
    moved = replace(machine.description, nics=(replace(nic, network="test-1"),))
    state.MACHINE.save(bed.files, folder.path / MACHINE_FILE, replace(machine, description=moved))
    with pytest.raises(HypervisorError, match="adapters of web") as caught:
        switches.remove_isolated("test-1", "rehearsal-1")
    assert caught.value.code == "network-in-use"
    assert MADE in bed.host.networks()


def test_a_network_of_that_name_and_tag_that_is_not_isolated_is_refused(
    bed: Bed, switches: Networks
) -> None:
    entries = (*NETWORKS, NetworkEntry("test-1", False, (), "rehearsal-1"))
    state.NETWORKS.save(bed.files, bed.host.networks_path, NetworksFile(entries))
    with pytest.raises(HypervisorError, match="network test-1 already"):
        switches.ensure_isolated("test-1", "rehearsal-1")


def test_a_network_that_the_host_does_not_show_is_no_success(
    bed: Bed, switches: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bed.host, "networks", lambda: ())
    with pytest.raises(HypervisorError, match="test-1 that was just made") as caught:
        switches.ensure_isolated("test-1", "rehearsal-1")
    assert caught.value.code == "network-missing"


def test_networks_of_a_host_made_before_there_were_tags_are_its_own(bed: Bed) -> None:
    bed.host.networks_path.write_text(
        '{"networks": [{"name": "lan", "is_isolated": true, "subnets": []}]}'
    )
    assert bed.host.networks() == (Network("lan", is_isolated=True, subnets=(), tag=""),)
