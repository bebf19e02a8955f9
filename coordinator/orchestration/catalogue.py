"""Policies: what protections refer to."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from coordinator.domain import policies
from coordinator.domain.commands import Command
from coordinator.domain.errors import RefusedError
from coordinator.domain.identifiers import PolicyId
from coordinator.domain.policies import Policy
from coordinator.domain.policy_settings import PolicySettings
from coordinator.orchestration.protection_changes import applied
from coordinator.orchestration.vault import Vault


@dataclass(frozen=True, slots=True)
class PolicyUpdate:
    """A policy as it is now, and the jobs that tell it to the hosts."""

    policy: Policy
    job_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyDeletion:
    """A policy that is gone."""

    id: str
    name: str


async def create_policy(
    vault: Vault, command: Command, name: str, settings: PolicySettings
) -> Policy:
    """Make a policy with a name that no other has."""
    policy_id = PolicyId(vault.randomness.uuid())
    policy, decision = policies.create(policy_id, name, settings, vault.clock.now())
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.policies.get(done)
        if await records.policies.is_taken(name):
            raise RefusedError(
                "policy-name-taken", f"There is a policy {name} already.", "Choose another name."
            )
        await records.save(decision, command, result=policy.id)
    return policy


async def update_policy(
    vault: Vault, command: Command, name: str, change: Callable[[PolicySettings], PolicySettings]
) -> PolicyUpdate:
    """Change what a policy says; the hosts of all that follow it are told. Raises `DomainError`."""
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            policy_id, *job_ids = json.loads(done)
            return PolicyUpdate(await records.policies.get(policy_id), tuple(job_ids))
        policy = await records.policies.get(name)
        following = await records.protections_following(policy.id)
        sources = await records.hosts.these({item.source_host_id for item in following})
        policy, decision = policy.updated(change(policy.settings), sources, vault.clock.now())
        if not decision.events:
            return PolicyUpdate(policy, ())
        decision += await applied(vault, records, policy)
        ids = tuple(order.job_id for order in decision.orders)
        await records.save(decision, command, result=json.dumps([policy.id, *ids]))
    vault.presence.announce(decision.orders)
    return PolicyUpdate(policy, ids)


async def delete_policy(vault: Vault, command: Command, name: str) -> PolicyDeletion:
    """Remove a policy that nothing follows. Raises `DomainError`."""
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return PolicyDeletion(*json.loads(done))
        policy = await records.policies.get(name)
        following = await records.protections_following(policy.id)
        names = [protection.machine_name for protection in following]
        decision = policy.deleted(names, vault.clock.now())
        await records.save(decision, command, result=json.dumps([policy.id, policy.name]))
    return PolicyDeletion(policy.id, policy.name)
