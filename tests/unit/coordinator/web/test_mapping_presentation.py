from coordinator.domain.health import Health, HealthLevel
from coordinator.domain.identifiers import MappingId, StorageMappingId
from coordinator.domain.network_mappings import NetworkMapping
from coordinator.domain.nic_placement import NicPlacement, PlacementRule
from coordinator.domain.protections import ProtectionState
from coordinator.domain.storage_mappings import StorageMapping
from coordinator.orchestration.deletions import Deletion
from coordinator.orchestration.network_mappings import (
    ConcernedProtection,
    NetworkMappingDetail,
    NetworkMappingStatus,
)
from coordinator.orchestration.storage_mappings import StorageMappingDetail, StorageMappingStatus
from coordinator.web import mapping_presentation as presentation
from tests.unit.coordinator.examples import NOW, SOURCE, TARGET, protection_in

BROKEN = Health(HealthLevel.CRITICAL, "Gone.", "Make it.")
NETWORK = NetworkMapping(MappingId("m"), SOURCE.id, "lan", TARGET.id, "dr-lan", None, NOW)
STORAGE = StorageMapping(StorageMappingId("s"), SOURCE.id, "gold", TARGET.id, "/r", NOW)
PROTECTION = protection_in(ProtectionState.PROTECTED)


def test_a_network_mapping_is_shown_with_health_and_whom_it_concerns() -> None:
    placed = NicPlacement("nic-0", "dr-lan", "web", PlacementRule.SAME_SUBNET)
    status = NetworkMappingStatus(NETWORK, SOURCE, TARGET, BROKEN)
    detail = NetworkMappingDetail(status, (ConcernedProtection(PROTECTION, (placed,)),))
    shown = presentation.network_mapping_detail(detail)
    assert (shown.primary_host, shown.secondary_host, shown.test_network) == ("a1", "b1", None)
    assert (shown.health, shown.cause, shown.remedy) == ("critical", "Gone.", "Make it.")
    (concerned,) = shown.protections
    assert concerned.name == "web"
    (nic,) = concerned.nics
    assert (nic.nic_id, nic.network, nic.subnet, nic.rule) == (
        "nic-0",
        "dr-lan",
        "web",
        "same-subnet",
    )


def test_a_storage_mapping_is_shown_with_health_and_whom_it_concerns() -> None:
    status = StorageMappingStatus(STORAGE, SOURCE, TARGET, BROKEN)
    shown = presentation.storage_mapping_detail(StorageMappingDetail(status, (PROTECTION,)))
    assert (shown.primary_host, shown.storage_class) == ("a1", "gold")
    assert (shown.secondary_host, shown.folder) == ("b1", "/r")
    assert (shown.health, shown.protections) == ("critical", ["web"])


def test_what_is_gone_is_named_with_whom_it_concerned() -> None:
    shown = presentation.deletion(Deletion("m", ("web", "db")))
    assert (shown.id, shown.protections) == ("m", ["web", "db"])
