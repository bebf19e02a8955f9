"""What the vault answers about network and storage mappings. Hosts are told by name."""

from coordinator.domain.health import HealthLevel
from coordinator.domain.nic_placement import PlacementRule
from coordinator.web.models import Answer


class NetworkMappingAnswer(Answer):
    """A network mapping, and whether what it names is still there."""

    id: str
    primary_host: str
    primary_network: str
    secondary_host: str
    secondary_network: str
    test_network: str | None
    health: HealthLevel
    cause: str | None
    remedy: str | None


class NicPlacementAnswer(Answer):
    """Where an adapter goes in a failover, and by which rule; empty for nowhere."""

    nic_id: str
    network: str
    subnet: str
    rule: PlacementRule


class StorageChoiceAnswer(Answer):
    """Where a replica is kept: a folder, empty for the host's default, and why."""

    folder: str
    reason: str


class PlacementAnswer(Answer):
    """Where a machine would go at a host, by the mappings as they are now."""

    machine: str
    target_host: str
    storage: StorageChoiceAnswer
    nics: list[NicPlacementAnswer]


class ConcernedProtectionAnswer(Answer):
    """A protection, by its machine's name, with its adapters on the mapped network."""

    name: str
    nics: list[NicPlacementAnswer]


class NetworkMappingDetailAnswer(NetworkMappingAnswer):
    """A network mapping with the protections that it concerns."""

    protections: list[ConcernedProtectionAnswer]


class StorageMappingAnswer(Answer):
    """A storage mapping, and whether its folder is still there; the empty class is that of disks without one."""

    id: str
    primary_host: str
    storage_class: str
    secondary_host: str
    folder: str
    health: HealthLevel
    cause: str | None
    remedy: str | None


class StorageMappingDetailAnswer(StorageMappingAnswer):
    """A storage mapping with the machines, by name, whose protections it concerns."""

    protections: list[str]


class DeletionAnswer(Answer):
    """What is gone, and the machines, by name, whose protections that concerns."""

    id: str
    protections: list[str]
