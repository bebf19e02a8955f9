"""Where the adapters of a recovered machine go, and by which rule.

An adapter whose network is mapped goes to the mapped network: to its subnet with the name of the one that the adapter
is on, else to its first. Every other adapter stays disconnected.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from coordinator.domain.identifiers import HostId
from coordinator.domain.inventory import Network
from coordinator.domain.network_mappings import NetworkMapping
from replikera.machine import NetworkAdapter


class PlacementRule(StrEnum):
    """Why an adapter goes where it goes. From `NOT_CONNECTED` on it stays disconnected."""

    SAME_SUBNET = "same-subnet"
    """The mapped network has a subnet of the same name."""

    FIRST_SUBNET = "first-subnet"
    """It has none of that name, or it is not known on which subnet the adapter is."""

    NO_SUBNETS = "no-subnets"
    """The mapped network is not divided."""

    CREATED = "created"
    """A network of its own is made for the test."""

    NOT_CONNECTED = "not-connected"
    """The adapter is on no network where it runs now."""

    NOT_MAPPED = "not-mapped"
    NETWORK_GONE = "network-gone"
    """It is mapped to a network that the host has no more."""

    NO_TEST_NETWORK = "no-test-network"
    """Its network is mapped, without a network for tests."""

    NOT_WANTED = "not-wanted"
    """Whoever began the test wanted no network."""


@dataclass(frozen=True, slots=True)
class NicPlacement:
    """Where one adapter goes; `network` is empty for nowhere, `subnet` where there is none."""

    nic_id: str
    network: str
    subnet: str
    rule: PlacementRule


def explain(
    nics: Iterable[NetworkAdapter],
    mappings: Iterable[NetworkMapping],
    networks: Iterable[Network],
) -> tuple[NicPlacement, ...]:
    """Return where each adapter of a machine goes in a failover.

    `mappings` are those from the machine's host to one other, `networks` what both hosts have.
    """
    mapped = {mapping.primary_network: mapping for mapping in mappings}
    known = {(network.host_id, network.name): network for network in networks}
    return tuple(_place(nic, mapped.get(nic.network), known) for nic in nics)


def explain_rehearsal(
    nics: Iterable[NetworkAdapter],
    mappings: Iterable[NetworkMapping],
    networks: Iterable[Network],
) -> tuple[NicPlacement, ...]:
    """Return what `explain` does, for a test: networks for tests stand in for the mapped ones."""
    mapped = {mapping.primary_network: mapping for mapping in mappings}
    known = {(network.host_id, network.name): network for network in networks}
    return tuple(_place_for_test(nic, mapped.get(nic.network), known) for nic in nics)


def on_network(nic: NetworkAdapter, network: Network, networks: Iterable[Network]) -> NicPlacement:
    """Return where an adapter goes on a network that was chosen for it; `networks` are those of all hosts."""
    if not nic.network:
        return NicPlacement(nic.nic_id, "", "", PlacementRule.NOT_CONNECTED)
    here = next(
        (
            known
            for known in networks
            if known.name == nic.network and known.host_id != network.host_id
        ),
        None,
    )
    subnet, rule = _subnet(nic.subnet or _only_subnet(here), network.subnets)
    return NicPlacement(nic.nic_id, network.name, subnet, rule)


def _place_for_test(
    nic: NetworkAdapter, mapping: NetworkMapping | None, known: dict[tuple[HostId, str], Network]
) -> NicPlacement:
    if not nic.network or mapping is None:
        return _place(nic, mapping, known)
    if mapping.test_network is None:
        return NicPlacement(nic.nic_id, "", "", PlacementRule.NO_TEST_NETWORK)
    return _place(nic, replace(mapping, secondary_network=mapping.test_network), known)


def _place(
    nic: NetworkAdapter, mapping: NetworkMapping | None, known: dict[tuple[HostId, str], Network]
) -> NicPlacement:
    if not nic.network:
        return NicPlacement(nic.nic_id, "", "", PlacementRule.NOT_CONNECTED)
    if mapping is None:
        return NicPlacement(nic.nic_id, "", "", PlacementRule.NOT_MAPPED)
    target = known.get((mapping.secondary_host_id, mapping.secondary_network))
    if target is None:
        return NicPlacement(nic.nic_id, "", "", PlacementRule.NETWORK_GONE)
    own = nic.subnet or _only_subnet(known.get((mapping.primary_host_id, nic.network)))
    subnet, rule = _subnet(own, target.subnets)
    return NicPlacement(nic.nic_id, target.name, subnet, rule)


def _subnet(own: str, offered: tuple[str, ...]) -> tuple[str, PlacementRule]:
    if not offered:
        return "", PlacementRule.NO_SUBNETS
    if own in offered:
        return own, PlacementRule.SAME_SUBNET
    return offered[0], PlacementRule.FIRST_SUBNET


def _only_subnet(network: Network | None) -> str:
    """Return the subnet that every adapter of a network is on, empty where it has several or none."""
    return network.subnets[0] if network is not None and len(network.subnets) == 1 else ""
