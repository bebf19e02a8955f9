from datetime import timedelta

from coordinator.domain.health import Health, HealthLevel
from coordinator.domain.identifiers import JobId, MachineId, RehearsalId
from coordinator.domain.orders import (
    GuestReport,
    Measurement,
    NicConnection,
    RecoveredDisk,
)
from coordinator.domain.protections import ProtectionState
from coordinator.domain.rehearsals import Rehearsal, RehearsalState
from coordinator.orchestration.status import HostStatus, Progress, ProtectionStatus
from coordinator.web import presentation
from tests.unit.coordinator.examples import (
    LATER,
    MACHINE,
    NOW,
    POLICY,
    SOURCE,
    TARGET,
    enabling,
    protection_in,
    recovery_point,
)
from tests.unit.coordinator.vaults import BUBBLE

HOSTS = {SOURCE.id: SOURCE, TARGET.id: TARGET}
PROTECTION = protection_in(ProtectionState.PROTECTED)
REHEARSAL = Rehearsal(
    RehearsalId("r"),
    PROTECTION.id,
    JobId("j"),
    RehearsalState.CLEANED_UP,
    PROTECTION.generation,
    4,
    "web - test",
    (NicConnection("n", ""),),
    NOW,
    MachineId("m"),
    (RecoveredDisk("d", "/r", 9),),
    (Measurement("boot", 1.5),),
    GuestReport(is_healthy=True, summary="ok", records=2),
    ("web - test",),
    "fine",
    was_started=True,
)


def test_a_host_is_shown_with_its_connection() -> None:
    shown = presentation.host(HostStatus(SOURCE, is_connected=True, last_seen_at=LATER))
    assert (shown.id, shown.name, shown.site, shown.state) == ("source", "a1", "a", "connected")
    assert shown.last_seen_at == LATER
    away = presentation.host(HostStatus(SOURCE, is_connected=False, last_seen_at=None))
    assert (away.state, away.last_seen_at) == ("disconnected", None)


def test_a_machine_names_its_host_and_its_protection() -> None:
    shown = presentation.machine(MACHINE, HOSTS, {MACHINE.id: PROTECTION})
    assert (shown.host, shown.site, shown.protection) == ("a1", "a", PROTECTION.id)
    assert [(disk.disk_id, disk.size) for disk in shown.disks] == [("disk-1", 1 << 30)]
    assert [nic.network for nic in shown.nics] == ["lan", "storage"]
    assert presentation.machine(MACHINE, HOSTS, {}).protection is None


def test_networks_and_policies_are_shown_in_the_units_of_the_api() -> None:
    network = presentation.network(BUBBLE, HOSTS)
    assert (network.host, network.site, network.is_isolated) == ("b1", "b", True)
    policy = presentation.policy(POLICY)
    assert (policy.copy_frequency_seconds, policy.retention_hours) == (5, 1)


def test_a_protection_is_shown_with_health_lag_and_newest_point() -> None:
    status = ProtectionStatus(
        PROTECTION,
        SOURCE,
        TARGET,
        POLICY,
        Health(HealthLevel.WARNING, "Cause.", "Remedy."),
        recovery_point(4),
        timedelta(seconds=2.5),
        None,
        REHEARSAL,
    )
    shown = presentation.protection(status)
    assert (shown.name, shown.source_host, shown.target_host) == ("web", "a1", "b1")
    assert (shown.policy, shown.health, shown.cause) == ("quick", "warning", "Cause.")
    assert shown.lag_seconds == 2.5
    assert shown.newest_point is not None
    assert shown.newest_point.sequence == 4
    assert shown.test_failover is not None
    assert shown.test_failover.state == "cleaned-up"
    unknown = ProtectionStatus(
        PROTECTION, SOURCE, TARGET, POLICY, Health(HealthLevel.UNKNOWN), None, None, None, None
    )
    blank = presentation.protection(unknown)
    assert (blank.newest_point, blank.lag_seconds, blank.test_failover) == (None, None, None)


def test_a_test_failover_is_shown_whole() -> None:
    shown = presentation.rehearsal(REHEARSAL, "web")
    assert (shown.protection, shown.point.sequence) == ("web", 4)
    assert shown.is_successful
    assert shown.model_dump(mode="json")["disks"] == [{"disk_id": "d", "path": "/r", "size": 9}]
    assert [(nic.nic_id, nic.network) for nic in shown.nics] == [("n", "")]
    assert shown.guest is not None
    assert shown.guest.records == 2
    assert [(step.name, step.seconds) for step in shown.steps] == [("boot", 1.5)]
    assert (shown.removed, shown.notes) == (["web - test"], "fine")


def test_a_job_is_shown_with_its_tasks_and_progress() -> None:
    job = enabling()[1]
    shown = presentation.job(job, Progress(1, 2, 3.0))
    assert [task.state for task in shown.tasks] == ["running", "waiting", "waiting"]
    assert shown.progress is not None
    assert (shown.progress.done_bytes, shown.progress.rate) == (1, 3.0)
    assert presentation.job(job, None).progress is None
