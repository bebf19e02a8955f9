from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.identifiers import MappingId
from coordinator.domain.inventory import Network
from coordinator.domain.network_mappings import NetworkMapping
from coordinator.domain.nic_placement import (
    NicPlacement,
    PlacementRule,
    explain,
    explain_rehearsal,
    on_network,
)
from replikera.machine import NetworkAdapter
from tests.unit.coordinator.examples import NOW, SOURCE, TARGET

MAPPING = NetworkMapping(MappingId("m"), SOURCE.id, "lan", TARGET.id, "dr-lan", "bubble", NOW)
NIC = NetworkAdapter("nic-0", "Adapter", "00155d010203", "lan")


def lan(*subnets: str) -> Network:
    return Network("lan", SOURCE.id, is_isolated=False, subnets=subnets)


def dr_lan(*subnets: str) -> Network:
    return Network("dr-lan", TARGET.id, is_isolated=False, subnets=subnets)


@pytest.mark.parametrize(
    ("own", "here", "there", "subnet", "rule"),
    [
        ("db", ("web", "db"), ("web", "db"), "db", PlacementRule.SAME_SUBNET),
        ("db", (), ("web", "db"), "db", PlacementRule.SAME_SUBNET),
        ("db", ("web", "db"), ("west", "east"), "west", PlacementRule.FIRST_SUBNET),
        ("", ("db",), ("web", "db"), "db", PlacementRule.SAME_SUBNET),
        ("", ("web", "db"), ("db", "web"), "db", PlacementRule.FIRST_SUBNET),
        ("", (), ("web",), "web", PlacementRule.FIRST_SUBNET),
        ("db", ("db",), (), "", PlacementRule.NO_SUBNETS),
    ],
)
def test_a_mapped_adapter_goes_to_the_subnet_of_the_same_name_else_to_the_first(
    own: str,
    here: tuple[str, ...],
    there: tuple[str, ...],
    subnet: str,
    rule: PlacementRule,
) -> None:
    (placed,) = explain([replace(NIC, subnet=own)], [MAPPING], [lan(*here), dr_lan(*there)])
    assert placed == NicPlacement("nic-0", "dr-lan", subnet, rule)


@pytest.mark.parametrize(
    ("nic", "networks", "rule"),
    [
        (replace(NIC, network="storage"), [lan(), dr_lan()], PlacementRule.NOT_MAPPED),
        (replace(NIC, network=""), [lan(), dr_lan()], PlacementRule.NOT_CONNECTED),
        (NIC, [lan(), replace(dr_lan(), host_id=SOURCE.id)], PlacementRule.NETWORK_GONE),
    ],
)
def test_every_other_adapter_stays_disconnected_and_it_is_told_why(
    nic: NetworkAdapter, networks: list[Network], rule: PlacementRule
) -> None:
    assert explain([nic], [MAPPING], networks) == (NicPlacement("nic-0", "", "", rule),)


def test_a_primary_network_that_is_gone_is_mapped_still() -> None:
    (placed,) = explain([NIC], [MAPPING], [dr_lan("web")])
    assert (placed.network, placed.rule) == ("dr-lan", PlacementRule.FIRST_SUBNET)


NAMES = st.sampled_from(["", "a", "b", "c"])
SUBNETS = st.lists(st.sampled_from(["a", "b", "c"]), unique=True).map(tuple)


@given(st.lists(st.tuples(NAMES, NAMES)), SUBNETS, SUBNETS)
def test_every_adapter_is_placed_once_and_by_one_rule(
    adapters: list[tuple[str, str]], here: tuple[str, ...], there: tuple[str, ...]
) -> None:
    mapping = replace(MAPPING, primary_network="a", secondary_network="a")
    networks = [
        Network("a", SOURCE.id, is_isolated=False, subnets=here),
        Network("a", TARGET.id, is_isolated=False, subnets=there),
    ]
    nics = [
        NetworkAdapter(f"nic-{at}", "", "", network, subnet)
        for at, (network, subnet) in enumerate(adapters)
    ]
    placed = explain(nics, [mapping], networks)
    assert [item.nic_id for item in placed] == [nic.nic_id for nic in nics]
    for nic, item in zip(nics, placed, strict=True):
        if nic.network != "a":
            assert (item.network, item.subnet) == ("", "")
            continue
        own = nic.subnet or (here[0] if len(here) == 1 else "")
        assert item.network == "a"
        assert item.subnet == (own if own in there else there[0] if there else "")
        assert (item.rule is PlacementRule.SAME_SUBNET) == (own in there)
        assert (item.rule is PlacementRule.NO_SUBNETS) == (not there)


def bubble(*subnets: str) -> Network:
    return Network("bubble", TARGET.id, is_isolated=True, subnets=subnets)


@pytest.mark.parametrize(
    ("nic", "mapping", "expected"),
    [
        (NIC, MAPPING, ("bubble", "db", PlacementRule.SAME_SUBNET)),
        (NIC, replace(MAPPING, test_network=None), ("", "", PlacementRule.NO_TEST_NETWORK)),
        (NIC, replace(MAPPING, test_network="gone"), ("", "", PlacementRule.NETWORK_GONE)),
        (NIC, replace(MAPPING, primary_network="x"), ("", "", PlacementRule.NOT_MAPPED)),
        (replace(NIC, network=""), MAPPING, ("", "", PlacementRule.NOT_CONNECTED)),
    ],
)
def test_in_a_test_the_network_for_tests_stands_in(
    nic: NetworkAdapter, mapping: NetworkMapping, expected: tuple[str, str, PlacementRule]
) -> None:
    networks = [lan("db"), dr_lan("other"), bubble("web", "db")]
    assert explain_rehearsal([nic], [mapping], networks) == (NicPlacement("nic-0", *expected),)


def test_on_a_chosen_network_the_subnet_of_the_same_name_is_taken() -> None:
    networks = [lan("db"), bubble("web", "db")]
    assert on_network(NIC, networks[1], networks) == NicPlacement(
        "nic-0", "bubble", "db", PlacementRule.SAME_SUBNET
    )
    assert on_network(replace(NIC, network=""), networks[1], networks) == NicPlacement(
        "nic-0", "", "", PlacementRule.NOT_CONNECTED
    )
