"""The proof, before power-on, that a recovered machine can meet nobody: read back, never assumed."""

from collections.abc import Mapping

from agent.failover.outcome import RehearsalError
from agent.hypervisor.interface import Inventory, Machine


def check_isolation(
    inventory: Inventory, machine_id: str, tag: str, ordered: Mapping[str, str]
) -> dict[str, str]:
    """Return the machine's networks by adapter id as the hypervisor shows them.

    Raises `RehearsalError` unless each is the one ordered and reaches no physical adapter.
    """
    machine = _find(inventory, machine_id, tag)
    connected = {nic.nic_id: nic.network for nic in machine.description.nics}
    isolated = {network.name for network in inventory.networks if network.is_isolated}
    for nic_id, network in connected.items():
        if network and network not in isolated:
            raise _not_isolated(machine, nic_id, network)
        if network != ordered.get(nic_id, ""):
            raise _not_as_ordered(machine, nic_id, network, ordered.get(nic_id, ""))
    return connected


def _find(inventory: Inventory, machine_id: str, tag: str) -> Machine:
    for machine in inventory.machines:
        if machine.description.machine_id == machine_id and machine.tag == tag:
            return machine
    raise RehearsalError(
        "machine-missing",
        f"The hypervisor does not show machine {machine_id} that it just defined.",
        "Look at the hypervisor's own log, then start the test failover again.",
    )


def _not_isolated(machine: Machine, nic_id: str, network: str) -> RehearsalError:
    return RehearsalError(
        "network-not-isolated",
        f"Adapter {nic_id} of {machine.description.name} is on network {network}, which is not an "
        "isolated network of this host; the machine was not started.",
        "Set an isolated test network in the network mapping, or none, and start again.",
    )


def _not_as_ordered(machine: Machine, nic_id: str, found: str, ordered: str) -> RehearsalError:
    return RehearsalError(
        "network-not-as-ordered",
        f"Adapter {nic_id} of {machine.description.name} is on network {found or '(none)'} where "
        f"{ordered or '(none)'} was ordered; the machine was not started.",
        "Look at the hypervisor's own log, then start the test failover again.",
    )
