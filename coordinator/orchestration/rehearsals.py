"""Starting test failovers and cleaning them up."""

from dataclasses import dataclass
from datetime import timedelta

from coordinator.domain import rehearsals
from coordinator.domain.commands import BY_VAULT, Command
from coordinator.domain.errors import UnknownObjectError
from coordinator.domain.hosts import Host, HostState
from coordinator.domain.identifiers import JobId, OrderId, RehearsalId
from coordinator.domain.jobs import Job
from coordinator.domain.lag import lag
from coordinator.domain.point_selection import LATEST, PointSelector, parse
from coordinator.domain.points import RecoveryPoint
from coordinator.domain.protection_changes import check_trusted
from coordinator.domain.protections import Protection
from coordinator.domain.rehearsal_placement import MAPPED, RehearsalNetworks, Surroundings, place
from coordinator.domain.rehearsals import (
    DEFAULT_LENGTH,
    Rehearsal,
    RehearsalIds,
    RehearsalRequest,
)
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records

MAX_ENDED = 20
"""Test failovers that are cleaned up in one transaction; the others follow soon."""


@dataclass(frozen=True, slots=True)
class RehearsalWish:
    """What an operator wrote: which point, on which networks, for how long."""

    point: str = LATEST
    network: str = MAPPED
    length: timedelta = DEFAULT_LENGTH


@dataclass(frozen=True, slots=True)
class RehearsalPlan:
    """What a test failover would do. The expected loss is None where the source's clock does not let it be told."""

    protection: Protection
    target: Host
    point: RecoveryPoint
    networks: RehearsalNetworks
    expected_loss: timedelta | None


async def start_rehearsal(vault: Vault, command: Command, name: str, wish: RehearsalWish) -> Job:
    """Begin a test failover of a protection. Raises `DomainError`."""
    selector, uuid = parse(wish.point), vault.randomness.uuid
    ids = RehearsalIds(RehearsalId(uuid()), JobId(uuid()), OrderId(uuid()))
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.jobs.get(done)
        protection = await records.protections.get(name)
        request = await _request(records, protection, selector, wish, ids.rehearsal)
        job, decision = rehearsals.start(request, ids, vault.clock.now())
        await records.save(decision, command, result=job.id)
    vault.presence.announce(decision.orders)
    return job


async def plan_rehearsal(
    vault: Vault, records: Records, name: str, wish: RehearsalWish
) -> RehearsalPlan:
    """Return what a test failover would do now, and do nothing. Raises `DomainError` where it would be refused."""
    selector, uuid, now = parse(wish.point), vault.randomness.uuid, vault.clock.now()
    ids = RehearsalIds(RehearsalId(uuid()), JobId(uuid()), OrderId(uuid()))
    protection = await records.protections.get(name)
    request = await _request(records, protection, selector, wish, ids.rehearsal)
    rehearsals.start(request, ids, now)
    if request.point is None:
        raise AssertionError("a test failover without a point was not refused")
    return RehearsalPlan(
        protection,
        await records.hosts.get(protection.target_host_id),
        request.point,
        request.networks,
        lag(request.point.state, now),
    )


async def clean_up_rehearsal(vault: Vault, command: Command, name: str, notes: str) -> Job:
    """Begin to remove everything of a protection's test failover."""
    uuid = vault.randomness.uuid
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.jobs.get(done)
        protection = await records.protections.get(name)
        rehearsal = await records.unfinished_rehearsal(protection.id)
        if rehearsal is None:
            raise UnknownObjectError(
                "no-test-failover",
                f"Machine {protection.machine_name} has no test failover to clean up.",
                "See: replikera test-failover list.",
            )
        check_trusted(await records.hosts.get(protection.target_host_id))
        job, decision = rehearsal.clean_up(
            protection, notes, JobId(uuid()), OrderId(uuid()), vault.clock.now()
        )
        await records.save(decision, command, result=job.id)
    vault.presence.announce(decision.orders)
    return job


async def end_rehearsals(vault: Vault) -> int:
    """Begin to clean up test failovers whose time is up; return how many.

    A vault that reconciles does not know what its hosts have: it ends none.
    """
    if vault.reconciliation.is_reconciling:
        return 0
    now = vault.clock.now()
    async with vault.store.read() as records:
        over = await records.rehearsals_ended(now, MAX_ENDED)
    for rehearsal in over:
        await _end(vault, rehearsal)
    return len(over)


async def _end(vault: Vault, found: Rehearsal) -> None:
    uuid, now = vault.randomness.uuid, vault.clock.now()
    async with vault.store.write() as records:
        rehearsal = await records.rehearsals.find(found.id)
        if rehearsal is None or not rehearsal.is_over(now):
            return
        protection = await records.protections.get(rehearsal.protection_id)
        target = await records.hosts.get(protection.target_host_id)
        if target.state is HostState.ACTIVE:
            _, decision = rehearsal.end(protection, JobId(uuid()), OrderId(uuid()), now)
        else:
            decision = rehearsal.postponed(now)
        await records.save(decision, BY_VAULT)
    vault.presence.announce(decision.orders)


async def _request(
    records: Records,
    protection: Protection,
    selector: PointSelector,
    wish: RehearsalWish,
    rehearsal_id: RehearsalId,
) -> RehearsalRequest:
    return RehearsalRequest(
        protection,
        await records.hosts.get(protection.target_host_id),
        selector,
        await records.points.selected(protection, selector),
        wish.network,
        await _networks(records, protection, wish.network, rehearsal_id),
        wish.length,
        await records.unfinished_rehearsal(protection.id),
    )


async def _networks(
    records: Records, protection: Protection, wish: str, rehearsal_id: RehearsalId
) -> RehearsalNetworks:
    """Return where adapters go; a machine that its host lists no more is recovered disconnected."""
    source, target = protection.source_host_id, protection.target_host_id
    machine = await records.inventories.machine_of(source, protection.machine_id)
    surroundings = Surroundings(
        await records.hosts.get(target),
        await records.mappings_between(source, target),
        await records.inventories.networks_of(source, target),
    )
    nics = machine.description.nics if machine is not None else ()
    return place(wish, rehearsal_id, nics, surroundings)
