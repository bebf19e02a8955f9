"""Telling hosts again what they have not confirmed, and taking over what they have and the vault has forgotten.

A target may have moved, or a host could not take a policy; a restored vault does not know its newest test failovers.

It is looked at when a host introduces itself: then something may have changed that made the last telling futile.
"""

from collections.abc import Iterable
from datetime import datetime

from coordinator.domain import protection_changes
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.hello import HeldRehearsal
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import JobId
from coordinator.domain.jobs import JobKind
from coordinator.domain.protections import Protection
from coordinator.domain.rehearsal_adoption import adopt
from coordinator.orchestration.protection_changes import change_ids, replicating
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records

_TELLING = (JobKind.ENABLE_PROTECTION, *protection_changes.KINDS)
"""The jobs whose end tells what hosts do; none is begun beside them."""


async def tell_again(vault: Vault, records: Records, host: Host, now: datetime) -> Decision:
    """Decide that the hosts of this one's protections are told what is wanted, where they have not confirmed it."""
    decision = NOTHING
    for protection in await records.protections_of(host.id):
        decision += await _told_again(vault, records, protection, now)
    return decision


async def adopt_rehearsals(
    vault: Vault, records: Records, host: Host, held: Iterable[HeldRehearsal]
) -> Decision:
    """Decide what becomes of test failovers that a target has and the vault does not know.

    Only a vault that was restored can have forgotten one. One at a time of a protection: the next is told of again.
    """
    if not (await records.control()).reconciled_number:
        return NOTHING
    told = {item.rehearsal_id: item for item in held}
    known = {item.id for item in await records.rehearsals.these(told.keys())}
    unknown = [item for item in told.values() if item.rehearsal_id not in known]
    decision = NOTHING
    for protection in await records.protections.these(item.protection_id for item in unknown):
        if protection.target_host_id != host.id:
            continue
        if await records.unfinished_rehearsal(protection.id) is not None:
            continue
        found = next(item for item in unknown if item.protection_id == protection.id)
        decision += adopt(protection, found, JobId(vault.randomness.uuid()), vault.clock.now())
    return decision


async def _told_again(
    vault: Vault, records: Records, protection: Protection, now: datetime
) -> Decision:
    if not protection.has_begun:
        return NOTHING
    of = await replicating(records, protection)
    if protection.has_present_terms(of.target, of.policy):
        return NOTHING
    if any(job.kind in _TELLING for job in await records.running_jobs_of(protection.id)):
        return NOTHING
    change = protection_changes.apply_policy(of, change_ids(vault), now)
    return NOTHING if change is None else change[1]
