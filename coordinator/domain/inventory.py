"""What a host has: machines and networks, as its agent last listed them."""

from dataclasses import dataclass

from coordinator.domain.errors import InvalidValueError
from coordinator.domain.identifiers import MAX_NAME_LENGTH, HostId, MachineId
from replikera.machine import MachineDescription

MAX_MACHINES = 4096
"""Four times what Hyper-V runs on one host."""

MAX_NETWORKS = 1024
MAX_SUBNETS = 256
"""Of one network; address plans of a whole site have fewer."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A virtual machine of a host."""

    id: MachineId
    name: str
    host_id: HostId
    is_running: bool
    description: MachineDescription


@dataclass(frozen=True, slots=True)
class Network:
    """A virtual network of a host; an isolated one reaches no physical adapter."""

    name: str
    host_id: HostId
    is_isolated: bool
    subnets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """All machines and networks of one host."""

    machines: tuple[Machine, ...]
    networks: tuple[Network, ...]

    def __post_init__(self) -> None:
        _check_list("machines", [machine.id for machine in self.machines], MAX_MACHINES)
        _check_list("networks", [network.name for network in self.networks], MAX_NETWORKS)
        for network in self.networks:
            _check_subnets(network)
        names = [machine.name for machine in self.machines]
        for name in (*names, *(network.name for network in self.networks)):
            if not 0 < len(name) <= MAX_NAME_LENGTH:
                raise _invalid(f"The name {name[:MAX_NAME_LENGTH]!r} is empty or too long", "name")


def _check_list(what: str, keys: list[str], limit: int) -> None:
    if len(keys) > limit:
        raise _invalid(f"The host lists {len(keys)} {what}, the limit is {limit}", what)
    if len(set(keys)) != len(keys) or "" in keys:
        raise _invalid(f"The host lists {what} twice or without a name", what)


def _check_subnets(network: Network) -> None:
    is_long = any(len(subnet) > MAX_NAME_LENGTH for subnet in network.subnets)
    if is_long or len(network.subnets) > MAX_SUBNETS:
        name = network.name[:MAX_NAME_LENGTH]
        raise _invalid(f"Network {name!r} has too many subnets or one with a long name", "networks")


def _invalid(cause: str, field: str) -> InvalidValueError:
    return InvalidValueError(
        "invalid-inventory", f"{cause}.", "Correct it at the hypervisor of that host.", field=field
    )
