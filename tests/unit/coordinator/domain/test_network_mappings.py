from dataclasses import replace
from typing import Any

import pytest

from coordinator.domain import network_mappings
from coordinator.domain.decisions import NOTHING
from coordinator.domain.errors import InvalidValueError, UnknownObjectError
from coordinator.domain.events import EventKind
from coordinator.domain.identifiers import MappingId
from coordinator.domain.inventory import Network
from coordinator.domain.network_mappings import MappingRequest
from tests.unit.coordinator.examples import NOW, SOURCE, TARGET

LAN = Network("lan", SOURCE.id, is_isolated=False, subnets=())
DR_LAN = Network("dr-lan", TARGET.id, is_isolated=False, subnets=())
BUBBLE = Network("bubble", TARGET.id, is_isolated=True, subnets=())
REQUEST = MappingRequest(SOURCE, "lan", (LAN,), TARGET, "dr-lan", "bubble", (DR_LAN, BUBBLE))
MAPPING, DECISION = network_mappings.create(MappingId("m"), REQUEST, NOW)


def test_a_mapping_names_both_hosts_and_networks() -> None:
    assert DECISION.aggregates == (MAPPING,)
    assert (MAPPING.primary_host_id, MAPPING.primary_network) == (SOURCE.id, "lan")
    assert (MAPPING.secondary_host_id, MAPPING.secondary_network) == (TARGET.id, "dr-lan")
    assert MAPPING.test_network == "bubble"
    assert DECISION.events[0].detail == "a1/lan to b1/dr-lan, tests on bubble"


def test_a_test_network_is_not_needed() -> None:
    mapping, _ = network_mappings.create(MappingId("m"), replace(REQUEST, test_network=None), NOW)
    assert mapping.test_network is None


@pytest.mark.parametrize("change", ["primary_network", "secondary_network", "test_network"])
def test_a_network_that_is_not_there_is_refused_with_those_that_are(change: str) -> None:
    wrong: dict[str, Any] = {change: "void"}
    with pytest.raises(UnknownObjectError, match="no network void") as caught:
        network_mappings.create(MappingId("m"), replace(REQUEST, **wrong), NOW)
    assert ("lan" if change == "primary_network" else "bubble, dr-lan") in caught.value.remedy


def test_a_network_that_reaches_the_real_machine_is_not_for_tests() -> None:
    with pytest.raises(InvalidValueError, match="not isolated"):
        network_mappings.create(MappingId("m"), replace(REQUEST, test_network="dr-lan"), NOW)


def test_a_host_is_not_mapped_to_itself() -> None:
    with pytest.raises(InvalidValueError, match="same host"):
        network_mappings.create(MappingId("m"), replace(REQUEST, secondary=SOURCE), NOW)


def test_a_mapping_is_changed_at_the_secondary_side_alone() -> None:
    other = Network("dr-2", TARGET.id, is_isolated=False, subnets=())
    request = replace(
        REQUEST,
        secondary_network="dr-2",
        test_network=None,
        primary_networks=(),
        secondary_networks=(other,),
    )
    changed, decision = network_mappings.change(MAPPING, request, NOW)
    assert changed == replace(MAPPING, secondary_network="dr-2", test_network=None)
    assert decision.aggregates == (changed,)
    assert decision.events[0].kind is EventKind.NETWORK_MAPPING_CHANGED
    assert decision.events[0].detail == "a1/lan to b1/dr-2"


def test_a_change_to_what_is_already_decides_nothing() -> None:
    assert network_mappings.change(MAPPING, REQUEST, NOW) == (MAPPING, NOTHING)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"secondary_network": "void"}, UnknownObjectError),
        ({"test_network": "void"}, UnknownObjectError),
        ({"test_network": "dr-lan"}, InvalidValueError),
    ],
)
def test_a_change_is_checked_as_a_new_mapping_is(
    wrong: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        network_mappings.change(MAPPING, replace(REQUEST, **wrong), NOW)


def test_a_deleted_mapping_goes_with_a_line_in_the_history() -> None:
    decision = network_mappings.delete(MAPPING, SOURCE, TARGET, NOW)
    assert decision.removed == (MAPPING,)
    assert decision.events[0].kind is EventKind.NETWORK_UNMAPPED
    assert decision.events[0].detail == "a1/lan to b1/dr-lan"
