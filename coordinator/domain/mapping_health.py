"""Health of mappings: what they name may be gone since they were made."""

from collections.abc import Iterable

from coordinator.domain.health import Health, HealthLevel
from coordinator.domain.hosts import Host, HostState
from coordinator.domain.inventory import Network
from coordinator.domain.network_mappings import NetworkMapping
from coordinator.domain.storage_mappings import StorageMapping, told_class


def network_mapping_health(
    mapping: NetworkMapping, primary: Host, secondary: Host, networks: Iterable[Network]
) -> Health:
    """Return whether a network mapping still does what it says; `networks` are what both hosts have."""
    delete = f"Delete the mapping: replikera network-mapping delete {mapping.id}."
    doubt = _host_doubt(primary, delete) or _host_doubt(secondary, delete)
    if doubt is not None:
        return doubt
    known = {(network.host_id, network.name): network for network in networks}
    if (secondary.id, mapping.secondary_network) not in known:
        return Health(
            HealthLevel.CRITICAL,
            f"Host {secondary.name} has no network {mapping.secondary_network} any more: adapters that are mapped "
            "to it stay disconnected after a failover.",
            _change(mapping, "--secondary-network NAME"),
        )
    if mapping.test_network is not None:
        health = _test_health(mapping, secondary, known.get((secondary.id, mapping.test_network)))
        if health is not None:
            return health
    if (primary.id, mapping.primary_network) not in known:
        return Health(
            HealthLevel.WARNING,
            f"Host {primary.name} has no network {mapping.primary_network} any more: nothing is mapped.",
            delete,
        )
    return Health(HealthLevel.HEALTHY)


def storage_mapping_health(mapping: StorageMapping, primary: Host, secondary: Host) -> Health:
    """Return whether a storage mapping still does what it says."""
    delete = f"Delete the mapping: replikera storage-mapping delete {mapping.id}."
    doubt = _host_doubt(primary, delete) or _host_doubt(secondary, delete)
    if doubt is not None:
        return doubt
    if mapping.folder not in secondary.replica_folders:
        return Health(
            HealthLevel.CRITICAL,
            f"Host {secondary.name} offers no folder {mapping.folder} any more: new replicas of "
            f"{told_class(mapping.storage_class)} go to its default path.",
            f"Offer the folder in the settings of its agent again, or map the class anew. {delete}",
        )
    return Health(HealthLevel.HEALTHY)


def _host_doubt(host: Host, delete: str) -> Health | None:
    if host.state is HostState.RETIRED:
        return Health(HealthLevel.CRITICAL, f"Host {host.name} is retired.", delete)
    if host.state is not HostState.ACTIVE:
        return Health(
            HealthLevel.WARNING,
            f"Host {host.name} is {host.state}: it takes part in no failover.",
            host.remedy or f"Readmit it: replikera host readmit {host.name}.",
        )
    if not host.replication_address:
        return Health(
            HealthLevel.UNKNOWN,
            f"Host {host.name} has never told what it has.",
            "Start its agent.",
        )
    return None


def _test_health(
    mapping: NetworkMapping, secondary: Host, network: Network | None
) -> Health | None:
    if network is None:
        what = "is gone: a test failover cannot start"
    elif not network.is_isolated:
        what = "is not isolated any more: a test failover is refused on it"
    else:
        return None
    return Health(
        HealthLevel.WARNING,
        f"Network {mapping.test_network} of host {secondary.name} {what}.",
        _change(mapping, "--test-network NAME"),
    )


def _change(mapping: NetworkMapping, option: str) -> str:
    return f"Make it again there, or choose another: replikera network-mapping update {mapping.id} {option}."
