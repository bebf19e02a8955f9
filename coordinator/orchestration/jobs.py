"""Asking jobs to stop."""

from coordinator.domain import verifications
from coordinator.domain.commands import Command
from coordinator.domain.identifiers import OrderId
from coordinator.domain.jobs import VERIFICATION, Job
from coordinator.orchestration.vault import Vault


async def cancel_job(vault: Vault, command: Command, job_id: str) -> Job:
    """Ask the hosts not to begin what a job has ordered; return the job as it is now.

    Raises `UnknownObjectError`, and `IllegalTransitionError` for a job that cannot be stopped.
    """
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.jobs.get(done)
        job = await records.jobs.get(job_id)
        orders = await records.open_orders_of(job.id)
        job, decision = job.cancel(orders, vault.clock.now())
        if decision.events and job.is_at(VERIFICATION):
            protection = await records.protections.get(job.protection_id)
            order_id = OrderId(vault.randomness.uuid())
            decision += verifications.call_off(job, protection, order_id, vault.clock.now())
        await records.save(decision, command, result=job.id if decision.events else "")
    vault.presence.announce(decision.orders)
    return job
