from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain.health import Health, HealthLevel
from coordinator.domain.policies import Policy
from coordinator.domain.protections import Protection, ProtectionState
from coordinator.domain.settings_health import with_settings
from tests.unit.coordinator.examples import POLICY, TARGET, protection_in

WELL = Health(HealthLevel.HEALTHY)


def told(state: ProtectionState = ProtectionState.PROTECTED) -> Protection:
    protection = protection_in(state)
    return protection.accepted(protection.terms(POLICY), "/r").assigned(
        protection.assignment(TARGET, POLICY)
    )


def test_hosts_that_do_what_is_wanted_are_well() -> None:
    assert with_settings(WELL, told(), TARGET, POLICY) == WELL


def test_an_epoch_that_hosts_agreed_on_is_no_setting() -> None:
    assert with_settings(WELL, replace(told(), epoch_number=7), TARGET, POLICY) == WELL


@pytest.mark.parametrize(
    "policy",
    [
        replace(POLICY, retention=timedelta(hours=99)),
        replace(POLICY, copy_frequency=timedelta(seconds=77)),
    ],
)
def test_what_a_host_has_not_confirmed_is_doubtful(policy: Policy) -> None:
    health = with_settings(WELL, told(), TARGET, policy)
    assert health.level is HealthLevel.WARNING
    assert health.remedy is not None
    assert f"--policy {POLICY.name}" in health.remedy


def test_a_target_that_moved_is_told_to_its_source() -> None:
    moved = replace(TARGET, replication_address="elsewhere:1")
    assert with_settings(WELL, told(), moved, POLICY).level is HealthLevel.WARNING


def test_what_is_worse_is_told_first_and_what_is_not_known_is_not_doubted() -> None:
    lost = Health(HealthLevel.CRITICAL, "Cause.", "Remedy.")
    moved = replace(TARGET, replication_address="elsewhere:1")
    assert with_settings(lost, told(), moved, POLICY) == lost
    assert with_settings(WELL, protection_in(ProtectionState.PROTECTED), moved, POLICY) == WELL
    assert with_settings(WELL, told(ProtectionState.DISABLING), moved, POLICY) == WELL
