"""Network mappings: which network of the secondary host stands for one of the primary host.

A network of the primary host has one counterpart at each secondary host. What is mapped decides where adapters go when
a machine is recovered the next time; what runs already stays as it is.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import InvalidValueError, UnknownObjectError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import HostId, MappingId
from coordinator.domain.inventory import Network


@dataclass(frozen=True, slots=True)
class NetworkMapping(Aggregate):
    """One primary network's counterpart; tests use `test_network`, which is isolated, or none."""

    id: MappingId
    primary_host_id: HostId
    primary_network: str
    secondary_host_id: HostId
    secondary_network: str
    test_network: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MappingRequest:
    """What an operator asks to map, with what is known of both hosts."""

    primary: Host
    primary_network: str
    primary_networks: tuple[Network, ...]
    secondary: Host
    secondary_network: str
    test_network: str | None
    secondary_networks: tuple[Network, ...]


def create(
    mapping_id: MappingId, request: MappingRequest, now: datetime
) -> tuple[NetworkMapping, Decision]:
    """Decide that one network stands for another."""
    if request.primary.id == request.secondary.id:
        raise InvalidValueError(
            "same-host",
            f"A network of host {request.primary.name} cannot be mapped to the same host.",
            "Name a host of the other site.",
            field="secondary_host",
        )
    _network(request.primary, request.primary_networks, request.primary_network)
    _check_secondary(request)
    mapping = NetworkMapping(
        mapping_id,
        request.primary.id,
        request.primary_network,
        request.secondary.id,
        request.secondary_network,
        request.test_network,
        now,
    )
    event = Event(now, EventKind.NETWORK_MAPPED, mapping_id, _told(request))
    return mapping, Decision(aggregates=(mapping,), events=(event,))


def change(
    mapping: NetworkMapping, request: MappingRequest, now: datetime
) -> tuple[NetworkMapping, Decision]:
    """Decide that a primary network has another counterpart, or another network for tests.

    `request` is about the mapping's own hosts and primary network, which may be gone. Nothing is decided where the
    mapping is so already.
    """
    _check_secondary(request)
    changed = replace(
        mapping,
        secondary_network=request.secondary_network,
        test_network=request.test_network,
    )
    if changed == mapping:
        return mapping, NOTHING
    event = Event(now, EventKind.NETWORK_MAPPING_CHANGED, mapping.id, _told(request))
    return changed, Decision(aggregates=(changed,), events=(event,))


def delete(mapping: NetworkMapping, primary: Host, secondary: Host, now: datetime) -> Decision:
    """Decide that a primary network has no counterpart any more: its adapters stay disconnected."""
    detail = (
        f"{primary.name}/{mapping.primary_network} to {secondary.name}/{mapping.secondary_network}"
    )
    event = Event(now, EventKind.NETWORK_UNMAPPED, mapping.id, detail)
    return Decision(events=(event,), removed=(mapping,))


def _told(request: MappingRequest) -> str:
    detail = (
        f"{request.primary.name}/{request.primary_network} to "
        f"{request.secondary.name}/{request.secondary_network}"
    )
    return detail if request.test_network is None else f"{detail}, tests on {request.test_network}"


def _network(host: Host, networks: tuple[Network, ...], name: str) -> Network:
    for network in networks:
        if network.name == name:
            return network
    known = ", ".join(sorted(network.name for network in networks)) or "none"
    raise UnknownObjectError(
        "unknown-network",
        f"Host {host.name} has no network {name}.",
        f"Choose one of its networks ({known}); replikera network list shows all.",
    )


def _check_secondary(request: MappingRequest) -> None:
    _network(request.secondary, request.secondary_networks, request.secondary_network)
    if request.test_network is None:
        return
    network = _network(request.secondary, request.secondary_networks, request.test_network)
    if not network.is_isolated:
        raise InvalidValueError(
            "network-not-isolated",
            f"Network {network.name} of host {request.secondary.name} is not isolated: "
            "a recovered machine on it would meet the real one.",
            "Choose an isolated network for tests, or none.",
            field="test_network",
        )
