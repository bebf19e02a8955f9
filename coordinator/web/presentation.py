"""Domain to answers."""

from datetime import timedelta

from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import HostId
from coordinator.domain.inventory import Machine, Network
from coordinator.domain.jobs import Job
from coordinator.domain.network_mappings import NetworkMapping
from coordinator.domain.points import RecoveryPoint
from coordinator.domain.policies import Policy
from coordinator.domain.protections import Protection
from coordinator.domain.rehearsals import Rehearsal
from coordinator.orchestration.status import (
    HostStatus,
    Progress,
    ProtectionStatus,
    replication_progress,
)
from coordinator.web import models

Hosts = dict[HostId, Host]


def host(status: HostStatus) -> models.HostAnswer:
    """Return a host."""
    shown = status.host
    return models.HostAnswer(
        id=shown.id,
        name=shown.name,
        site=shown.site,
        cloud=shown.cloud,
        hypervisor=shown.hypervisor,
        state="connected" if status.is_connected else "disconnected",
        last_seen_at=status.last_seen_at,
        replication_address=shown.replication_address,
        agent_version=shown.agent_version,
    )


def machine(
    shown: Machine, hosts: Hosts, protections: dict[str, Protection]
) -> models.MachineAnswer:
    """Return a machine; `protections` by machine id."""
    protection = protections.get(shown.id)
    return models.MachineAnswer(
        id=shown.id,
        name=shown.name,
        host=hosts[shown.host_id].name,
        site=hosts[shown.host_id].site,
        is_running=shown.is_running,
        disks=[
            models.MachineDisk(disk_id=disk.disk_id, name=disk.name, size=disk.size)
            for disk in shown.description.disks
        ],
        nics=[
            models.MachineNic(nic_id=nic.nic_id, name=nic.name, network=nic.network)
            for nic in shown.description.nics
        ],
        protection=protection.id if protection is not None else None,
    )


def network(shown: Network, hosts: Hosts) -> models.NetworkAnswer:
    """Return a network."""
    return models.NetworkAnswer(
        name=shown.name,
        host=hosts[shown.host_id].name,
        site=hosts[shown.host_id].site,
        is_isolated=shown.is_isolated,
        subnets=list(shown.subnets),
    )


def policy(shown: Policy) -> models.PolicyAnswer:
    """Return a policy."""
    return models.PolicyAnswer(
        id=shown.id,
        name=shown.name,
        copy_frequency_seconds=shown.copy_frequency // timedelta(seconds=1),
        retention_hours=shown.retention // timedelta(hours=1),
    )


def mapping(shown: NetworkMapping, hosts: Hosts) -> models.NetworkMappingAnswer:
    """Return a network mapping."""
    return models.NetworkMappingAnswer(
        id=shown.id,
        primary_host=hosts[shown.primary_host_id].name,
        primary_network=shown.primary_network,
        secondary_host=hosts[shown.secondary_host_id].name,
        secondary_network=shown.secondary_network,
        test_network=shown.test_network,
    )


def protection(status: ProtectionStatus) -> models.ProtectionAnswer:
    """Return a protection."""
    shown, rehearsal = status.protection, status.rehearsal
    return models.ProtectionAnswer(
        id=shown.id,
        name=shown.machine_name,
        machine_id=shown.machine_id,
        source_host=status.source.name,
        target_host=status.target.name,
        policy=status.policy.name,
        state=shown.state,
        health=status.health.level,
        cause=status.health.cause,
        remedy=status.health.remedy,
        generation=shown.generation,
        newest_point=_newest(status.newest_point),
        lag_seconds=status.lag.total_seconds() if status.lag is not None else None,
        progress=progress(replication_progress(shown, status.report)),
        test_failover=(
            models.LastTestFailover(id=rehearsal.id, state=rehearsal.state)
            if rehearsal is not None
            else None
        ),
    )


def point(shown: RecoveryPoint) -> models.PointAnswer:
    """Return a recovery point."""
    return models.PointAnswer(
        generation=shown.generation,
        sequence=shown.sequence,
        kind=shown.kind,
        name=shown.name,
        capture_started_at=shown.capture_started_at,
        capture_ended_at=shown.capture_ended_at,
        sealed_at=shown.sealed_at,
        payload_bytes=shown.payload_bytes,
    )


def rehearsal(shown: Rehearsal, machine_name: str) -> models.TestFailoverAnswer:
    """Return a test failover of the machine with that name."""
    guest = shown.guest
    return models.TestFailoverAnswer(
        id=shown.id,
        protection=machine_name,
        point=models.PointName(generation=shown.generation, sequence=shown.sequence),
        machine_name=shown.machine_name,
        machine_id=shown.machine_id,
        state=shown.state,
        disks=[
            models.RecoveredDiskAnswer(disk_id=disk.disk_id, path=disk.path, size=disk.size)
            for disk in shown.disks
        ],
        nics=[
            models.NicConnectionAnswer(nic_id=nic.nic_id, network=nic.network) for nic in shown.nics
        ],
        guest=(
            models.GuestAnswer(
                is_healthy=guest.is_healthy, summary=guest.summary, records=guest.records
            )
            if guest is not None
            else None
        ),
        steps=[models.StepAnswer(name=step.name, seconds=step.seconds) for step in shown.steps],
        removed=list(shown.removed),
        notes=shown.notes,
        is_successful=shown.is_successful,
        cause=shown.cause,
        remedy=shown.remedy,
        created_at=shown.created_at,
    )


def job(shown: Job, done: Progress | None) -> models.JobAnswer:
    """Return a job."""
    return models.JobAnswer(
        id=shown.id,
        kind=shown.kind,
        subject=shown.subject,
        state=shown.state,
        tasks=[
            models.TaskAnswer(name=task.name, state=task.state, detail=task.detail)
            for task in shown.tasks
        ],
        cause=shown.cause,
        remedy=shown.remedy,
        created_at=shown.created_at,
        finished_at=shown.finished_at,
        progress=progress(done),
    )


def progress(shown: Progress | None) -> models.ProgressAnswer | None:
    """Return how far something is."""
    if shown is None:
        return None
    return models.ProgressAnswer(
        done_bytes=shown.done_bytes, total_bytes=shown.total_bytes, rate=shown.rate
    )


def _newest(shown: RecoveryPoint | None) -> models.NewestPoint | None:
    if shown is None:
        return None
    return models.NewestPoint(sequence=shown.sequence, capture_started_at=shown.capture_started_at)
