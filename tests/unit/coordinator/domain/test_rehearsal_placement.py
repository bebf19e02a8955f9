from dataclasses import replace

import pytest

from coordinator.domain.errors import InvalidValueError, UnknownObjectError
from coordinator.domain.identifiers import MAX_NAME_LENGTH, MappingId, RehearsalId
from coordinator.domain.inventory import Network
from coordinator.domain.network_mappings import NetworkMapping
from coordinator.domain.nic_placement import PlacementRule
from coordinator.domain.orders import NicConnection
from coordinator.domain.rehearsal_placement import RehearsalNetworks, Surroundings, place
from replikera.machine import NetworkAdapter
from tests.unit.coordinator.examples import NOW, SOURCE, TARGET

ID = RehearsalId("0123456789")
LAN = NetworkAdapter("nic-0", "Adapter", "00155d010203", "lan")
STORAGE = NetworkAdapter("nic-1", "Adapter", "00155d010204", "storage")
LOOSE = NetworkAdapter("nic-2", "Adapter", "00155d010205", "")
NICS = (LAN, STORAGE, LOOSE)
MAPPING = NetworkMapping(MappingId("m"), SOURCE.id, "lan", TARGET.id, "dr-lan", "bubble", NOW)
AROUND = Surroundings(
    TARGET,
    (MAPPING,),
    (
        Network("lan", SOURCE.id, is_isolated=False, subnets=()),
        Network("lab", SOURCE.id, is_isolated=True, subnets=()),
        Network("dr-lan", TARGET.id, is_isolated=False, subnets=()),
        Network("bubble", TARGET.id, is_isolated=True, subnets=()),
        Network("lab", TARGET.id, is_isolated=True, subnets=("west",)),
    ),
)


def rules(networks: RehearsalNetworks) -> list[PlacementRule]:
    return [nic.rule for nic in networks.nics]


def test_unless_told_adapters_go_to_the_networks_for_tests() -> None:
    placed = place("mapped", ID, NICS, AROUND)
    assert placed.connections == (
        NicConnection("nic-0", "bubble"),
        NicConnection("nic-1", ""),
        NicConnection("nic-2", ""),
    )
    assert rules(placed) == ["no-subnets", "not-mapped", "not-connected"]
    assert placed.created == ()


def test_with_none_no_adapter_is_connected() -> None:
    placed = place("none", ID, NICS, AROUND)
    assert {nic.network for nic in placed.connections} == {""}
    assert set(rules(placed)) == {PlacementRule.NOT_WANTED}


def test_networks_that_are_made_keep_apart_what_is_apart() -> None:
    placed = place("create", ID, (*NICS, replace(LAN, nic_id="nic-3")), AROUND)
    assert placed.created == ("lan - test 01234567", "storage - test 01234567")
    assert [nic.network for nic in placed.connections] == [*placed.created, "", placed.created[0]]
    assert rules(placed) == ["created", "created", "not-connected", "created"]


def test_long_names_of_networks_that_are_made_differ_and_fit() -> None:
    long = "n" * MAX_NAME_LENGTH
    nics = [replace(LAN, nic_id=str(n), network=long[:-1] + str(n)) for n in range(3)]
    placed = place("create", ID, tuple(nics), AROUND)
    assert len(set(placed.created)) == 3
    assert all(len(name) <= MAX_NAME_LENGTH for name in placed.created)


def test_all_connected_adapters_go_to_an_isolated_network_of_the_target() -> None:
    placed = place("lab", ID, NICS, AROUND)
    assert [(nic.network, nic.subnet) for nic in placed.nics] == [
        ("lab", "west"),
        ("lab", "west"),
        ("", ""),
    ]


def test_a_network_that_is_not_isolated_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="is not isolated") as caught:
        place("dr-lan", ID, NICS, AROUND)
    assert (caught.value.code, caught.value.field) == ("network-not-isolated", "network")


def test_a_network_that_the_target_has_not_is_refused_with_those_that_would_do() -> None:
    with pytest.raises(UnknownObjectError, match="has no network lan") as caught:
        place("lan", ID, NICS, AROUND)
    assert "(bubble, lab)" in caught.value.remedy
