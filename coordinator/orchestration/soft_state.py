"""What hosts say many times a second: kept in memory, and of reports now and then the last in the store."""

from datetime import timedelta

from coordinator.domain.identifiers import HostId, JobId, ProtectionId
from coordinator.domain.orders import OrderProgress
from coordinator.domain.replication import ReplicationReport
from coordinator.store.database import Store

KEEP_EVERY = timedelta(seconds=30)
"""How old a report in the store may be while nothing happens that an operator would act on."""


class ReplicationReports:
    """The newest report of every protection, from its source alone. As many as there are protections."""

    def __init__(self) -> None:
        self._newest: dict[ProtectionId, ReplicationReport] = {}
        self._kept: dict[ProtectionId, ReplicationReport] = {}
        self._sources: dict[ProtectionId, HostId] = {}

    async def load(self, store: Store) -> None:
        """Begin with what was kept before a restart."""
        async with store.read() as records:
            reports = await records.reports()
        self._newest = {report.protection_id: report for report in reports}
        self._kept = dict(self._newest)

    def get(self, protection_id: ProtectionId) -> ReplicationReport | None:
        """Return the newest report, None where there was none yet."""
        return self._newest.get(protection_id)

    def is_source(self, protection_id: ProtectionId, host_id: HostId) -> bool:
        """Tell whether this host is known to be the protection's source."""
        return self._sources.get(protection_id) == host_id

    def trust_source(self, protection_id: ProtectionId, host_id: HostId) -> None:
        """Remember a protection's source, which was looked up in the store."""
        self._sources[protection_id] = host_id

    def take(self, report: ReplicationReport) -> bool:
        """Keep a report in memory; tell whether the store should have it too."""
        self._newest[report.protection_id] = report
        kept = self._kept.get(report.protection_id)
        return (
            kept is None
            or report.tells_more_than(kept)
            or report.reported_at - kept.reported_at >= KEEP_EVERY
        )

    def kept(self, report: ReplicationReport) -> None:
        """Note that the store has this report."""
        self._kept[report.protection_id] = report


class JobProgress:
    """How far hosts are with their open orders, by job."""

    def __init__(self) -> None:
        self._newest: dict[JobId, OrderProgress] = {}

    def take(self, job_id: JobId, progress: OrderProgress) -> None:
        """Keep the newest progress of a job."""
        self._newest[job_id] = progress

    def get(self, job_id: JobId) -> OrderProgress | None:
        """Return the newest progress, None where there is none."""
        return self._newest.get(job_id)

    def forget(self, job_id: JobId) -> None:
        """Drop the progress of an order that has ended."""
        self._newest.pop(job_id, None)
