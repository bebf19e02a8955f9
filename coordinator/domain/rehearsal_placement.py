"""Which networks a test failover uses: what operators write for it, and where each adapter goes by it.

    mapped      each adapter goes to the test network of its network's mapping (the default)
    none        no adapter is connected
    create      a new isolated network for each network that adapters are on, removed with the test
    NAME        all go to this isolated network of the target host

An adapter that is on no network where the machine runs stays disconnected, whatever is chosen.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from coordinator.domain.errors import InvalidValueError, UnknownObjectError
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import MAX_NAME_LENGTH, RehearsalId
from coordinator.domain.inventory import Network
from coordinator.domain.network_mappings import NetworkMapping
from coordinator.domain.nic_placement import (
    NicPlacement,
    PlacementRule,
    explain_rehearsal,
    on_network,
)
from coordinator.domain.orders import NicConnection
from replikera.machine import NetworkAdapter

MAPPED = "mapped"
NONE = "none"
CREATE = "create"


@dataclass(frozen=True, slots=True)
class RehearsalNetworks:
    """Where adapters go in a test, and the networks that are made for it."""

    nics: tuple[NicPlacement, ...]
    created: tuple[str, ...] = ()

    @property
    def connections(self) -> tuple[NicConnection, ...]:
        """Return what is ordered."""
        return tuple(NicConnection(nic.nic_id, nic.network) for nic in self.nics)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of both hosts: the target, the mappings to it, and the networks of the two."""

    target: Host
    mappings: tuple[NetworkMapping, ...]
    networks: tuple[Network, ...]


def place(
    wish: str,
    rehearsal_id: RehearsalId,
    nics: tuple[NetworkAdapter, ...],
    surroundings: Surroundings,
) -> RehearsalNetworks:
    """Return where the adapters of a machine go in a test. Raises `DomainError` for a network that will not do."""
    if wish == MAPPED:
        placed = explain_rehearsal(nics, surroundings.mappings, surroundings.networks)
        return RehearsalNetworks(placed)
    if wish == NONE:
        return RehearsalNetworks(
            tuple(NicPlacement(nic.nic_id, "", "", PlacementRule.NOT_WANTED) for nic in nics)
        )
    if wish == CREATE:
        return _created(rehearsal_id, nics)
    network = _isolated(surroundings, wish)
    return RehearsalNetworks(tuple(on_network(nic, network, surroundings.networks) for nic in nics))


def _created(rehearsal_id: RehearsalId, nics: Iterable[NetworkAdapter]) -> RehearsalNetworks:
    ending = f" - test {rehearsal_id[:8]}"
    names: dict[str, str] = {}
    for nic in nics:
        if nic.network and nic.network not in names:
            names[nic.network] = _free(nic.network, ending, set(names.values()))
    placed = tuple(
        NicPlacement(nic.nic_id, names[nic.network], "", PlacementRule.CREATED)
        if nic.network
        else NicPlacement(nic.nic_id, "", "", PlacementRule.NOT_CONNECTED)
        for nic in nics
    )
    return RehearsalNetworks(placed, tuple(names.values()))


def _free(network: str, ending: str, taken: set[str]) -> str:
    """Return a name of a new network; long ones that begin alike are told apart by a number."""
    number, mark = 1, ""
    while (name := network[: MAX_NAME_LENGTH - len(mark + ending)] + mark + ending) in taken:
        number += 1
        mark = f" {number}"
    return name


def _isolated(surroundings: Surroundings, name: str) -> Network:
    target = surroundings.target
    mine = [network for network in surroundings.networks if network.host_id == target.id]
    for network in mine:
        if network.name != name:
            continue
        if not network.is_isolated:
            raise InvalidValueError(
                "network-not-isolated",
                f"Network {name} of host {target.name} is not isolated: a recovered machine on it would meet the "
                "real one.",
                "Choose an isolated network, none, or create.",
                field="network",
            )
        return network
    known = ", ".join(sorted(network.name for network in mine if network.is_isolated)) or "none"
    raise UnknownObjectError(
        "unknown-network",
        f"Host {target.name} has no network {name[:MAX_NAME_LENGTH]}.",
        f"Write mapped, none, create, or one of its isolated networks ({known}).",
    )
