"""Starting test failovers and cleaning them up."""

from coordinator.domain import rehearsals
from coordinator.domain.commands import Command
from coordinator.domain.errors import UnknownObjectError
from coordinator.domain.identifiers import JobId, OrderId, RehearsalId
from coordinator.domain.jobs import Job
from coordinator.domain.network_mappings import rehearsal_connections
from coordinator.domain.orders import NicConnection
from coordinator.domain.points import RecoveryPoint
from coordinator.domain.protections import Protection
from coordinator.domain.rehearsals import RehearsalIds, RehearsalRequest
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records


async def start_rehearsal(vault: Vault, command: Command, name: str, sequence: int | None) -> Job:
    """Begin a test failover of a protection from one point, the newest if `sequence` is None."""
    uuid = vault.randomness.uuid
    ids = RehearsalIds(RehearsalId(uuid()), JobId(uuid()), OrderId(uuid()))
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.jobs.get(done)
        protection = await records.protections.get(name)
        request = RehearsalRequest(
            protection,
            sequence,
            await _point(records, protection, sequence),
            await _connections(records, protection),
            await records.unfinished_rehearsal(protection.id),
        )
        job, decision = rehearsals.start(request, ids, vault.clock.now())
        await records.save(decision, command, result=job.id)
    vault.presence.announce(decision.orders)
    return job


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
        job, decision = rehearsal.clean_up(
            protection, notes, JobId(uuid()), OrderId(uuid()), vault.clock.now()
        )
        await records.save(decision, command, result=job.id)
    vault.presence.announce(decision.orders)
    return job


async def _point(
    records: Records, protection: Protection, sequence: int | None
) -> RecoveryPoint | None:
    if sequence is None:
        return await records.points.newest(protection)
    return await records.points.find(protection, sequence)


async def _connections(records: Records, protection: Protection) -> tuple[NicConnection, ...]:
    """Return where adapters go; a machine that its host lists no more is recovered disconnected."""
    source, target = protection.source_host_id, protection.target_host_id
    machine = await records.inventories.machine_of(source, protection.machine_id)
    if machine is None:
        return ()
    mappings = await records.mappings_between(source, target)
    return rehearsal_connections(machine.description.nics, mappings)
