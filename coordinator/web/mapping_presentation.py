"""Mappings: domain to answers."""

from coordinator.domain.nic_placement import NicPlacement
from coordinator.orchestration.deletions import Deletion
from coordinator.orchestration.network_mappings import (
    ConcernedProtection,
    NetworkMappingDetail,
    NetworkMappingStatus,
)
from coordinator.orchestration.placement import Placement
from coordinator.orchestration.storage_mappings import StorageMappingDetail, StorageMappingStatus
from coordinator.web import mapping_answers as answers


def network_mapping(status: NetworkMappingStatus) -> answers.NetworkMappingAnswer:
    """Return a network mapping."""
    shown = status.mapping
    return answers.NetworkMappingAnswer(
        id=shown.id,
        primary_host=status.primary.name,
        primary_network=shown.primary_network,
        secondary_host=status.secondary.name,
        secondary_network=shown.secondary_network,
        test_network=shown.test_network,
        health=status.health.level,
        cause=status.health.cause,
        remedy=status.health.remedy,
    )


def network_mapping_detail(detail: NetworkMappingDetail) -> answers.NetworkMappingDetailAnswer:
    """Return a network mapping with the protections that it concerns."""
    return answers.NetworkMappingDetailAnswer(
        **dict(network_mapping(detail.status)),
        protections=[_concerned(item) for item in detail.concerned],
    )


def storage_mapping(status: StorageMappingStatus) -> answers.StorageMappingAnswer:
    """Return a storage mapping."""
    shown = status.mapping
    return answers.StorageMappingAnswer(
        id=shown.id,
        primary_host=status.primary.name,
        storage_class=shown.storage_class,
        secondary_host=status.secondary.name,
        folder=shown.folder,
        health=status.health.level,
        cause=status.health.cause,
        remedy=status.health.remedy,
    )


def storage_mapping_detail(detail: StorageMappingDetail) -> answers.StorageMappingDetailAnswer:
    """Return a storage mapping with the protections that it concerns."""
    return answers.StorageMappingDetailAnswer(
        **dict(storage_mapping(detail.status)),
        protections=[protection.machine_name for protection in detail.concerned],
    )


def deletion(shown: Deletion) -> answers.DeletionAnswer:
    """Return what is gone."""
    return answers.DeletionAnswer(id=shown.id, protections=list(shown.protections))


def placement(shown: Placement) -> answers.PlacementAnswer:
    """Return where a machine would go."""
    return answers.PlacementAnswer(
        machine=shown.machine.name,
        target_host=shown.target.name,
        storage=answers.StorageChoiceAnswer(
            folder=shown.storage.folder, reason=shown.storage.reason
        ),
        nics=[nic_placement(item) for item in shown.nics],
    )


def _concerned(shown: ConcernedProtection) -> answers.ConcernedProtectionAnswer:
    return answers.ConcernedProtectionAnswer(
        name=shown.protection.machine_name, nics=[nic_placement(item) for item in shown.placements]
    )


def nic_placement(shown: NicPlacement) -> answers.NicPlacementAnswer:
    """Return where an adapter goes."""
    return answers.NicPlacementAnswer(
        nic_id=shown.nic_id, network=shown.network, subnet=shown.subnet, rule=shown.rule
    )
