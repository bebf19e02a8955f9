"""What follows from what hosts say of themselves and of protections. Each may speak only of its own."""

from coordinator.domain import resyncs, verifications
from coordinator.domain.commands import by_host
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import ForbiddenError, RefusedError
from coordinator.domain.identifiers import HostId, ProtectionId
from coordinator.domain.inventory import Inventory
from coordinator.domain.jobs import JobKind
from coordinator.domain.orders import Failure, OrderProgress
from coordinator.domain.points import PointReport, reconcile
from coordinator.domain.protections import Protection
from coordinator.domain.renaming import renamed
from coordinator.domain.replication import ReplicationReport, ReplicationState
from coordinator.orchestration.points import naming_listed
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records

_UNEXPLAINED = Failure(
    "resync-required",
    "The source host asks for a resync without a reason.",
    "Look at the log of its agent.",
)


async def replace_inventory(vault: Vault, host_id: HostId, inventory: Inventory) -> None:
    """Keep what a host has now, in place of what it had; protections follow the names of their machines."""
    names = {machine.id: machine.name for machine in inventory.machines}
    async with vault.store.write() as records:
        await records.inventories.replace(host_id, inventory)
        found = await records.protections_of(host_id)
        replicated = [item for item in found if item.source_host_id == host_id]
        decision = renamed(replicated, names, vault.clock.now())
        if decision.events:
            await records.save(decision, by_host(host_id))


async def receive_points(vault: Vault, host_id: HostId, report: PointReport) -> None:
    """Store what a target says it holds. Raises `ForbiddenError`, `RefusedError`."""
    async with vault.store.write() as records:
        protection = await _protection(records, report.protection_id)
        protection.check_target(host_id)
        if report.generation != protection.generation:
            raise RefusedError(
                "generation-unknown",
                f"Points of generation {report.generation} are not of protection {protection.id}.",
                "Nothing was changed; examine the replica at the target host.",
            )
        now = vault.clock.now()
        changes = reconcile(await records.points.known(report), report, now)
        await records.points.apply(changes)
        job = await records.jobs.get(protection.job_id)
        if (doubt := changes.doubt()) is not None:
            # Told once: what requires a resync is told no second time.
            await records.save(protection.resync_required(job, doubt, now), by_host(host_id))
        elif changes.added:
            await records.save(protection.point_sealed(job, now), by_host(host_id))
        await records.save(await naming_listed(records, protection, now), by_host(host_id))
    vault.presence.note_told(host_id, protection.id)


async def receive_replication(vault: Vault, host_id: HostId, report: ReplicationReport) -> None:
    """Keep how a source says its replication goes. Raises `ForbiddenError`."""
    reports = vault.reports
    if not reports.is_source(report.protection_id, host_id):
        async with vault.store.read() as reading:
            (await _protection(reading, report.protection_id)).check_source(host_id)
        reports.trust_source(report.protection_id, host_id)
    report = report.heard_after(reports.get(report.protection_id))
    if not reports.take(report):
        return
    async with vault.store.write() as records:
        protection = await _protection(records, report.protection_id)
        await records.save_report(report)
        decision = await _what_it_means(vault, records, protection, report)
        await records.save(decision, by_host(host_id))
    reports.kept(report)


async def receive_progress(vault: Vault, host_id: HostId, progress: OrderProgress) -> None:
    """Keep how far a host is with an order. Raises `ForbiddenError`."""
    async with vault.store.read() as records:
        order = await records.orders.find(progress.order_id)
    if order is None or order.host_id != host_id:
        raise ForbiddenError(
            "not-your-order",
            f"Order {progress.order_id} was not given to host {host_id}.",
            "Nothing was changed.",
        )
    if order.outcome is None:
        vault.progress.take(order.job_id, progress)


async def _what_it_means(
    vault: Vault, records: Records, protection: Protection, report: ReplicationReport
) -> Decision:
    """Decide what follows from a report for the protection and for the jobs that wait for it."""
    now = vault.clock.now()
    job = await records.jobs.get(protection.job_id)
    verifying = await records.running_job_of(protection.id, JobKind.VERIFY_PROTECTION)
    decision = NOTHING
    if verifying is not None and report.verification is not None:
        decision += verifications.reported(verifying, report.verification, now)
    if report.state is not ReplicationState.RESYNC_REQUIRED:
        return decision + resyncs.reported(protection, job, report.state, now)
    failure = report.failure or _UNEXPLAINED
    if verifying is not None and not decision.aggregates:
        decision += verifications.failed(verifying, failure, now)
    return decision + protection.resync_required(job, failure, now)


async def _protection(records: Records, protection_id: ProtectionId) -> Protection:
    protection = await records.protections.find(protection_id)
    if protection is None:
        raise ForbiddenError(
            "protection-unknown",
            f"The vault has no protection {protection_id}.",
            "If the vault was restored from a backup, restore a newer one.",
        )
    return protection
