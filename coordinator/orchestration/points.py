"""Recovery points: which one is meant, until when it is kept, what it holds."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.domain import named_points, point_digests, point_exports
from coordinator.domain.commands import Command
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.identifiers import JobId, OrderId
from coordinator.domain.job_results import NamedPoint
from coordinator.domain.jobs import Job, JobKind
from coordinator.domain.named_points import NamingIds
from coordinator.domain.point_digests import DigestIds
from coordinator.domain.point_exports import ExportIds, ExportWish
from coordinator.domain.point_selection import (
    NEWEST_APPLICATION_CONSISTENT,
    PointSelector,
    parse,
)
from coordinator.domain.points import RecoveryPoint
from coordinator.domain.policies import Policy
from coordinator.domain.protection_changes import check_trusted
from coordinator.domain.protections import Protection
from coordinator.domain.retention import KeptPoint, PointsHeld, kept
from coordinator.orchestration.vault import Vault
from coordinator.store.paging import Page
from coordinator.store.points import PointFilter
from coordinator.store.records import Records


@dataclass(frozen=True, slots=True)
class RetentionStatus:
    """What a protection's policy promises, and what its target holds."""

    policy: Policy
    held: PointsHeld


async def points_page(
    records: Records, name: str, cursor: str | None, limit: int, wanted: PointFilter
) -> Page[KeptPoint]:
    """Return a page of a protection's points, newest first. Raises `DomainError`."""
    protection = await records.protections.get(name)
    page = await records.points.page(protection, cursor, limit, wanted)
    keeping = await _Keeping.of(records, protection)
    return page.of(tuple(map(keeping.point, page.items)))


async def selected_point(records: Records, name: str, text: str) -> KeptPoint:
    """Return the point of a protection that a text means. Raises `DomainError`."""
    selector = parse(text)
    protection = await records.protections.get(name)
    point = await _selected(records, protection, selector)
    return (await _Keeping.of(records, protection)).point(point)


async def retention_status(records: Records, name: str) -> RetentionStatus:
    """Return how far back the points of a protection reach. Raises `DomainError`."""
    protection = await records.protections.get(name)
    totals = await records.points.totals(protection)
    keeping = await _Keeping.of(records, protection)
    oldest = await records.points.find(protection, totals.oldest_sequence)
    newest = await records.points.newest(protection)
    consistent = await records.points.selected(protection, NEWEST_APPLICATION_CONSISTENT)
    return RetentionStatus(
        keeping.policy,
        PointsHeld(
            totals.count,
            totals.payload_bytes,
            keeping.point_if_any(oldest),
            keeping.point_if_any(newest),
            keeping.point_if_any(consistent),
        ),
    )


async def digest_point(vault: Vault, command: Command, name: str, text: str) -> Job:
    """Have the target read a whole point and tell what it holds. Raises `DomainError`."""
    selector = parse(text)
    uuid = vault.randomness.uuid
    ids = DigestIds(JobId(uuid()), OrderId(uuid()))
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.jobs.get(done)
        protection = await records.protections.get(name)
        point = await _selected(records, protection, selector)
        running = await records.running_job_of(protection.id, JobKind.DIGEST_POINT)
        check_trusted(await records.hosts.get(protection.target_host_id))
        job, decision = point_digests.start(protection, point, running, ids, vault.clock.now())
        await records.save(decision, command, result=job.id)
    vault.presence.announce(decision.orders)
    return job


async def export_point(
    vault: Vault, command: Command, name: str, text: str, wish: ExportWish
) -> Job:
    """Have the target write a disk of a point as a file of its own. Raises `DomainError`."""
    selector = parse(text)
    uuid = vault.randomness.uuid
    ids = ExportIds(JobId(uuid()), OrderId(uuid()))
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.jobs.get(done)
        protection = await records.protections.get(name)
        point = await _selected(records, protection, selector)
        check_trusted(await records.hosts.get(protection.target_host_id))
        job, decision = point_exports.start(protection, point, wish, ids, vault.clock.now())
        await records.save(decision, command, result=job.id)
    vault.presence.announce(decision.orders)
    return job


async def name_point(vault: Vault, command: Command, name: str, point_name: str) -> Job:
    """Have the source take a point now that has a name. Raises `DomainError`."""
    uuid = vault.randomness.uuid
    ids = NamingIds(JobId(uuid()), OrderId(uuid()))
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.jobs.get(done)
        protection = await records.protections.get(name)
        running = await records.running_job_of(protection.id, JobKind.NAME_POINT)
        check_trusted(await records.hosts.get(protection.source_host_id))
        check_trusted(await records.hosts.get(protection.target_host_id))
        job, decision = named_points.start(protection, point_name, running, ids, vault.clock.now())
        await records.save(decision, command, result=job.id)
    vault.presence.announce(decision.orders)
    return job


async def naming_listed(records: Records, protection: Protection, now: datetime) -> Decision:
    """Decide whether the target's list ends the job that gave a point a name."""
    job = await records.running_job_of(protection.id, JobKind.NAME_POINT)
    if job is None or not isinstance(job.result, NamedPoint):
        return NOTHING
    point = await records.points.find(protection, job.result.sequence)
    return named_points.listed(job, point, now)


@dataclass(frozen=True, slots=True)
class _Keeping:
    """What the end of a point's retention follows from."""

    policy: Policy
    retention: timedelta
    newest_sequence: int

    @classmethod
    async def of(cls, records: Records, protection: Protection) -> "_Keeping":
        newest = await records.points.newest(protection)
        policy = await records.policies.get(protection.policy_id)
        sequence = newest.sequence if newest is not None else 0
        return cls(policy, protection.kept_retention(policy), sequence)

    def point(self, point: RecoveryPoint) -> KeptPoint:
        return kept(point, self.newest_sequence, self.retention)

    def point_if_any(self, point: RecoveryPoint | None) -> KeptPoint | None:
        return self.point(point) if point is not None else None


async def _selected(
    records: Records, protection: Protection, selector: PointSelector
) -> RecoveryPoint:
    point = await records.points.selected(protection, selector)
    if point is None:
        raise selector.refusal(protection.machine_name)
    return point
