"""Aggregates as tests need them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from coordinator.domain import protections
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import (
    Generation,
    HostId,
    JobId,
    MachineId,
    OrderId,
    PolicyId,
    ProtectionId,
)
from coordinator.domain.inventory import Machine
from coordinator.domain.jobs import Job
from coordinator.domain.points import PointKind, RecoveryPoint
from coordinator.domain.policies import Policy
from coordinator.domain.protections import EnableIds, EnableRequest, Protection, ProtectionState
from replikera.machine import Disk, MachineDescription, NetworkAdapter

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(minutes=3)

DESCRIPTION = MachineDescription(
    machine_id="machine-1",
    name="web",
    hardware_generation=2,
    processors=2,
    memory_bytes=1 << 30,
    firmware="uefi",
    disks=(Disk("disk-1", "system.vhdx", 1 << 30, 512, "scsi", 0, 0),),
    nics=(
        NetworkAdapter("nic-0", "Adapter", "00155d010203", "lan"),
        NetworkAdapter("nic-1", "Second", "00155d010204", "storage"),
    ),
)
SOURCE = Host(
    HostId("source"),
    "a1",
    "a",
    NOW,
    hypervisor="simulated",
    replication_address="a1:1",
    minimum_copy_interval=timedelta(seconds=2),
)
TARGET = Host(HostId("target"), "b1", "b", NOW, replication_address="b1:1")
MACHINE = Machine(
    MachineId("machine-1"), "web", SOURCE.id, is_running=True, description=DESCRIPTION
)
POLICY = Policy(PolicyId("policy"), "quick", timedelta(seconds=5), timedelta(hours=1), NOW)
REQUEST = EnableRequest(MACHINE, SOURCE, TARGET, POLICY, None)
IDS = EnableIds(ProtectionId("protection"), Generation("gen-1"), JobId("job"), OrderId("order"))


def enabling() -> tuple[Protection, Job]:
    """Return a protection that was just enabled, with its job."""
    job, decision = protections.enable(REQUEST, IDS, NOW)
    (protection,) = (item for item in decision.aggregates if isinstance(item, Protection))
    return protection, job


def protection_in(state: ProtectionState, **more: Any) -> Protection:
    return replace(enabling()[0], state=state, **more)


def recovery_point(sequence: int, /, **more: Any) -> RecoveryPoint:
    values: dict[str, Any] = {
        "protection_id": ProtectionId("protection"),
        "generation": Generation("gen-1"),
        "sequence": sequence,
        "kind": PointKind.CRASH_CONSISTENT,
        "name": "",
        "capture_started_at": NOW + timedelta(seconds=sequence),
        "capture_ended_at": NOW + timedelta(seconds=sequence, milliseconds=4),
        "sealed_at": NOW + timedelta(seconds=sequence + 1),
        "payload_bytes": 4096,
        "chain_digest": sequence.to_bytes(32, "big"),
    }
    return RecoveryPoint(**values | more)
