from dataclasses import replace

import pytest

from coordinator.domain.health import HealthLevel
from coordinator.domain.hosts import Host, HostState
from coordinator.domain.identifiers import MappingId, StorageMappingId
from coordinator.domain.inventory import Network
from coordinator.domain.mapping_health import network_mapping_health, storage_mapping_health
from coordinator.domain.network_mappings import NetworkMapping
from coordinator.domain.storage_mappings import StorageMapping
from tests.unit.coordinator.examples import NOW, SOURCE, TARGET

NETWORK = NetworkMapping(MappingId("m"), SOURCE.id, "lan", TARGET.id, "dr-lan", "bubble", NOW)
LAN = Network("lan", SOURCE.id, is_isolated=False, subnets=())
DR_LAN = Network("dr-lan", TARGET.id, is_isolated=False, subnets=())
BUBBLE = Network("bubble", TARGET.id, is_isolated=True, subnets=())
STORAGE = StorageMapping(StorageMappingId("s"), SOURCE.id, "gold", TARGET.id, "/r", NOW)
OFFERING = replace(TARGET, replica_folders=("/r",))


def test_mappings_of_what_is_there_are_healthy() -> None:
    health = network_mapping_health(NETWORK, SOURCE, TARGET, (LAN, DR_LAN, BUBBLE))
    assert (health.level, health.cause) == (HealthLevel.HEALTHY, None)
    without = replace(NETWORK, test_network=None)
    assert network_mapping_health(without, SOURCE, TARGET, (LAN, DR_LAN)) == health
    assert storage_mapping_health(STORAGE, SOURCE, OFFERING) == health


@pytest.mark.parametrize(
    ("networks", "level", "named"),
    [
        ((LAN, BUBBLE, replace(DR_LAN, host_id=SOURCE.id)), HealthLevel.CRITICAL, "dr-lan any"),
        ((), HealthLevel.CRITICAL, "dr-lan any"),
        ((LAN, DR_LAN), HealthLevel.WARNING, "bubble of host b1 is gone"),
        (
            (LAN, DR_LAN, replace(BUBBLE, is_isolated=False)),
            HealthLevel.WARNING,
            "bubble of host b1 is not isolated",
        ),
        ((DR_LAN, BUBBLE), HealthLevel.WARNING, "a1 has no network lan"),
    ],
)
def test_a_network_that_is_gone_breaks_its_mapping(
    networks: tuple[Network, ...], level: HealthLevel, named: str
) -> None:
    health = network_mapping_health(NETWORK, SOURCE, TARGET, networks)
    assert health.level is level
    assert named in (health.cause or "")
    assert NETWORK.id in (health.remedy or "")


def test_a_folder_that_is_gone_breaks_its_mapping() -> None:
    health = storage_mapping_health(STORAGE, SOURCE, TARGET)
    assert health.level is HealthLevel.CRITICAL
    assert "no folder /r any more" in (health.cause or "")
    assert STORAGE.id in (health.remedy or "")


@pytest.mark.parametrize(
    ("host", "level"),
    [
        (replace(TARGET, state=HostState.RETIRED), HealthLevel.CRITICAL),
        (replace(TARGET, state=HostState.QUARANTINED), HealthLevel.WARNING),
        (replace(TARGET, state=HostState.REVOKED), HealthLevel.WARNING),
        (replace(TARGET, replication_address=""), HealthLevel.UNKNOWN),
    ],
)
def test_what_a_host_says_counts_only_while_it_is_there(host: Host, level: HealthLevel) -> None:
    found = [
        network_mapping_health(NETWORK, SOURCE, host, ()),
        network_mapping_health(NETWORK, replace(host, id=SOURCE.id), TARGET, ()),
        storage_mapping_health(STORAGE, SOURCE, host),
        storage_mapping_health(STORAGE, host, OFFERING),
    ]
    assert {health.level for health in found} == {level}
    assert all(health.cause and health.remedy for health in found)
