"""Resources of jobs."""

from http import HTTPStatus

from coordinator.domain.jobs import Job
from coordinator.orchestration.jobs import cancel_job
from coordinator.orchestration.progress import job_progress
from coordinator.orchestration.vault import Vault
from coordinator.web import protection_presentation as presentation
from coordinator.web.models import Listing, NoBody, NoQuery, listing
from coordinator.web.protection_answers import JobAnswer
from coordinator.web.requests import JobQuery
from coordinator.web.table import OPERATORS, Call, Route, changing, reading


class JobHandlers:
    """Handlers of these resources."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def rows(self) -> tuple[Route, ...]:
        """Return the rows of these resources."""
        return (
            reading(
                "/jobs", self.list_jobs, "List jobs, newest first", JobQuery, Listing[JobAnswer]
            ),
            reading("/jobs/{id}", self.get_job, "A job", NoQuery, JobAnswer),
            changing(
                "/jobs/{id}/cancel",
                self.cancel_job,
                "Ask a job to stop",
                NoBody,
                JobAnswer,
                roles=OPERATORS,
                status=HTTPStatus.ACCEPTED,
            ),
        )

    async def list_jobs(self, _call: Call, query: JobQuery) -> Listing[JobAnswer]:
        """Return jobs, newest first."""
        async with self._vault.store.read() as records:
            page = await records.jobs_page(
                query.cursor, query.limit, state=query.state, subject=query.subject
            )
        return listing(page, map(self._job, page.items))

    async def get_job(self, call: Call, _query: NoQuery) -> JobAnswer:
        """Return one job."""
        async with self._vault.store.read() as records:
            job = await records.jobs.get(call.path["id"])
        return self._job(job)

    async def cancel_job(self, call: Call, _body: NoBody) -> JobAnswer:
        """Ask a job to stop."""
        return self._job(await cancel_job(self._vault, call.command, call.path["id"]))

    def _job(self, job: Job) -> JobAnswer:
        return presentation.job(job, job_progress(self._vault, job))
