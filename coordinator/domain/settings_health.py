"""Whether the hosts of a protection do what its policy says now: until they confirmed it, the old counts."""

from coordinator.domain.health import Health, HealthLevel
from coordinator.domain.hosts import Host
from coordinator.domain.policies import Policy
from coordinator.domain.protections import Protection, ProtectionState

_REPLICATING = (ProtectionState.PROTECTED, ProtectionState.INITIAL_REPLICATION)


def with_settings(health: Health, protection: Protection, target: Host, policy: Policy) -> Health:
    """Return the health of a protection, worse where it seems well and a host has not taken the present settings."""
    is_doubtful = (
        health.level in (HealthLevel.HEALTHY, HealthLevel.NOT_APPLICABLE)
        and protection.state in _REPLICATING
        and None not in (protection.told_target, protection.told_source)
        and not protection.has_present_terms(target, policy)
    )
    if not is_doubtful:
        return health
    name = protection.machine_name
    return Health(
        HealthLevel.WARNING,
        f"The hosts of machine {name} have not all confirmed what policy {policy.name} says now: until then they "
        "replicate and keep points as before.",
        f"Wait for the job that tells them, or tell them again: "
        f"replikera protection update {name} --policy {policy.name}.",
    )
