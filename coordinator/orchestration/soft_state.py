"""What is worth nothing after a restart: kept in memory, and of reports now and then the last in the store."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.domain.identifiers import HostId, JobId, ProtectionId
from coordinator.domain.orders import OrderProgress
from coordinator.domain.replication import ReplicationReport
from coordinator.store.database import Store
from replikera.ports.clock import Clock

KEEP_EVERY = timedelta(seconds=30)
"""How old a report in the store may be while nothing happens that an operator would act on."""


LATE_SECONDS = 60.0
"""How long a call with a certificate may be on its way while the host uses its next one already."""


class ReplicationReports:
    """The newest report of every protection, from its source alone. As many as there are protections."""

    def __init__(self) -> None:
        self._newest: dict[ProtectionId, ReplicationReport] = {}
        self._kept: dict[ProtectionId, ReplicationReport] = {}
        self._sources: dict[ProtectionId, HostId] = {}
        self._rates: dict[ProtectionId, tuple[AverageRate, float | None]] = {}

    async def load(self, store: Store) -> None:
        """Begin with what was kept before a restart."""
        async with store.read() as records:
            reports = await records.reports()
        self._newest = {report.protection_id: report for report in reports}
        self._kept = dict(self._newest)

    def get(self, protection_id: ProtectionId) -> ReplicationReport | None:
        """Return the newest report, None where there was none yet."""
        return self._newest.get(protection_id)

    def forget(self, gone: Iterable[str]) -> None:
        """Drop what was told of protections that are gone; of anything else nothing is known."""
        for protection_id in map(ProtectionId, gone):
            self._newest.pop(protection_id, None)
            self._kept.pop(protection_id, None)
            self._sources.pop(protection_id, None)
            self._rates.pop(protection_id, None)

    def is_source(self, protection_id: ProtectionId, host_id: HostId) -> bool:
        """Tell whether this host is known to be the protection's source."""
        return self._sources.get(protection_id) == host_id

    def trust_source(self, protection_id: ProtectionId, host_id: HostId) -> None:
        """Remember a protection's source, which was looked up in the store."""
        self._sources[protection_id] = host_id

    def take(self, report: ReplicationReport) -> bool:
        """Keep a report in memory; tell whether the store should have it too."""
        self._newest[report.protection_id] = report
        self._measure(report)
        kept = self._kept.get(report.protection_id)
        return (
            kept is None
            or report.tells_more_than(kept)
            or report.reported_at - kept.reported_at >= KEEP_EVERY
        )

    def verification_rate(self, protection_id: ProtectionId) -> float | None:
        """Return how fast a protection is verified, in bytes a second; None where that is not measured yet."""
        return self._rates.get(protection_id, (None, None))[1]

    def _measure(self, report: ReplicationReport) -> None:
        if report.verification is None or report.verification.is_finished:
            self._rates.pop(report.protection_id, None)
            return
        average, _ = self._rates.get(report.protection_id, (AverageRate(), None))
        rate = average.after(report.verification.checked_bytes, report.reported_at)
        self._rates[report.protection_id] = (average, rate)

    def kept(self, report: ReplicationReport) -> None:
        """Note that the store has this report."""
        self._kept[report.protection_id] = report


@dataclass(frozen=True, slots=True)
class ToldProgress:
    """How far a job is, when its host told, and how fast it has been since it told first; None before two tellings."""

    done_bytes: int
    total_bytes: int
    rate: float | None
    told_at: datetime


class JobProgress:
    """How far hosts are with their open orders, by job."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest: dict[JobId, ToldProgress] = {}
        self._rates: dict[JobId, AverageRate] = {}

    def take(self, job_id: JobId, progress: OrderProgress) -> None:
        """Keep the newest progress of a job."""
        rate = self._rates.setdefault(job_id, AverageRate())
        told = rate.after(progress.done_bytes, self._clock.now())
        self._newest[job_id] = ToldProgress(
            progress.done_bytes, progress.total_bytes, told, self._clock.now()
        )

    def get(self, job_id: JobId) -> ToldProgress | None:
        """Return the newest progress, None where there is none."""
        return self._newest.get(job_id)

    def forget(self, job_id: JobId) -> None:
        """Drop the progress of an order that has ended."""
        self._newest.pop(job_id, None)
        self._rates.pop(job_id, None)


class AverageRate:
    """Of something that is counted in bytes, since it was told first; it begins anew when less is told than before."""

    def __init__(self) -> None:
        self._first: tuple[int, datetime] | None = None
        self._last = 0

    def after(self, done_bytes: int, now: datetime) -> float | None:
        """Return the rate with what is told now, None where there is nothing to measure yet."""
        if self._first is None or done_bytes < self._last:
            self._first = (done_bytes, now)
        self._last = done_bytes
        done, since = self._first
        seconds = (now - since).total_seconds()
        return (done_bytes - done) / seconds if seconds > 0 else None


class Replacements:
    """The certificates that were superseded lately, each by the first use of its host's next one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at: dict[str, float] = {}

    def note(self, certificate_ids: Iterable[str]) -> None:
        """Note that these were superseded now; what was long ago is forgotten."""
        now = self._clock.monotonic()
        self._at = {name: at for name, at in self._at.items() if now - at < LATE_SECONDS}
        self._at |= dict.fromkeys(certificate_ids, now)

    def is_recent(self, certificate_id: str) -> bool:
        """Tell whether a call with it may have been sent before it was superseded."""
        at = self._at.get(certificate_id)
        return at is not None and self._clock.monotonic() - at < LATE_SECONDS
