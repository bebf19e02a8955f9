"""Resources of protections: their points, test failovers and jobs."""

from aiohttp import web

from coordinator.domain.jobs import Job
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.rehearsals import clean_up_rehearsal, start_rehearsal
from coordinator.orchestration.status import job_progress, protection_status, protection_statuses
from coordinator.orchestration.vault import Vault
from coordinator.web import models, presentation
from coordinator.web.bodies import accepted, answer, read_body


class ProtectionHandlers:
    """Handlers of these resources."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def list_protections(self, _request: web.Request) -> web.Response:
        """`GET /protections`."""
        async with self._vault.store.read() as records:
            found = await protection_statuses(self._vault, records)
        return answer(models.ItemList(items=[presentation.protection(item) for item in found]))

    async def enable(self, request: web.Request) -> web.Response:
        """`POST /protections`."""
        body = await read_body(request, models.ProtectionRequest)
        job = await enable_protection(self._vault, body.machine, body.target_host, body.policy)
        return accepted(self._job(job))

    async def get_protection(self, request: web.Request) -> web.Response:
        """`GET /protections/{name}`."""
        async with self._vault.store.read() as records:
            status = await protection_status(self._vault, records, request.match_info["name"])
        return answer(presentation.protection(status))

    async def list_points(self, request: web.Request) -> web.Response:
        """`GET /protections/{name}/points`."""
        async with self._vault.store.read() as records:
            protection = await records.protections.get(request.match_info["name"])
            found = await records.points.listed(protection)
        return answer(models.ItemList(items=[presentation.point(point) for point in found]))

    async def start_test_failover(self, request: web.Request) -> web.Response:
        """`POST /protections/{name}/test-failovers`."""
        body = await read_body(request, models.TestFailoverRequest)
        sequence = None if body.point == "latest" else body.point
        job = await start_rehearsal(self._vault, request.match_info["name"], sequence)
        return accepted(self._job(job))

    async def clean_up_test_failover(self, request: web.Request) -> web.Response:
        """`POST /protections/{name}/test-failovers/clean-up`."""
        body = await read_body(request, models.CleanUpRequest)
        job = await clean_up_rehearsal(self._vault, request.match_info["name"], body.notes)
        return accepted(self._job(job))

    async def list_test_failovers(self, _request: web.Request) -> web.Response:
        """`GET /test-failovers`, newest first."""
        async with self._vault.store.read() as records:
            found = await records.recent_rehearsals()
            names = {item.id: item.machine_name for item in await records.protections.all()}
        items = [
            presentation.rehearsal(rehearsal, names[rehearsal.protection_id]) for rehearsal in found
        ]
        return answer(models.ItemList(items=items))

    async def get_test_failover(self, request: web.Request) -> web.Response:
        """`GET /test-failovers/{id}`."""
        async with self._vault.store.read() as records:
            rehearsal = await records.rehearsals.get(request.match_info["id"])
            protection = await records.protections.get(rehearsal.protection_id)
        return answer(presentation.rehearsal(rehearsal, protection.machine_name))

    async def list_jobs(self, _request: web.Request) -> web.Response:
        """`GET /jobs`, newest first."""
        async with self._vault.store.read() as records:
            found = await records.recent_jobs()
        return answer(models.ItemList(items=[self._job(job) for job in found]))

    async def get_job(self, request: web.Request) -> web.Response:
        """`GET /jobs/{id}`."""
        async with self._vault.store.read() as records:
            job = await records.jobs.get(request.match_info["id"])
        return answer(self._job(job))

    def _job(self, job: Job) -> models.JobAnswer:
        return presentation.job(job, job_progress(self._vault, job))
