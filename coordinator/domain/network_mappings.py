"""Network mappings: which network of the secondary host stands for one of the primary host."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import InvalidValueError, UnknownObjectError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import HostId, MappingId
from coordinator.domain.inventory import Network
from coordinator.domain.orders import NicConnection
from replikera.machine import NetworkAdapter


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
    _network(request.secondary, request.secondary_networks, request.secondary_network)
    if request.test_network is not None:
        _check_test_network(request, request.test_network)
    mapping = NetworkMapping(
        mapping_id,
        request.primary.id,
        request.primary_network,
        request.secondary.id,
        request.secondary_network,
        request.test_network,
        now,
    )
    detail = (
        f"{request.primary.name}/{mapping.primary_network} to "
        f"{request.secondary.name}/{mapping.secondary_network}"
    )
    event = Event(now, EventKind.NETWORK_MAPPED, mapping_id, detail)
    return mapping, Decision(aggregates=(mapping,), events=(event,))


def rehearsal_connections(
    nics: Iterable[NetworkAdapter], mappings: Iterable[NetworkMapping]
) -> tuple[NicConnection, ...]:
    """Return where each adapter goes in a test: its network's test network, nowhere if there is none."""
    networks = {mapping.primary_network: mapping.test_network or "" for mapping in mappings}
    return tuple(NicConnection(nic.nic_id, networks.get(nic.network, "")) for nic in nics)


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


def _check_test_network(request: MappingRequest, name: str) -> None:
    network = _network(request.secondary, request.secondary_networks, name)
    if not network.is_isolated:
        raise InvalidValueError(
            "network-not-isolated",
            f"Network {name} of host {request.secondary.name} is not isolated: "
            "a recovered machine on it would meet the real one.",
            "Choose an isolated network for tests, or none.",
            field="test_network",
        )
