"""Resources of recovery points."""

from http import HTTPStatus

from coordinator.domain.point_exports import ExportWish
from coordinator.orchestration.points import (
    digest_point,
    export_point,
    name_point,
    points_page,
    retention_status,
    selected_point,
)
from coordinator.orchestration.progress import job_progress
from coordinator.orchestration.vault import Vault
from coordinator.store.points import PointFilter
from coordinator.web import point_presentation as presentation
from coordinator.web.models import Listing, NoBody, NoQuery, listing
from coordinator.web.point_answers import PointAnswer, RetentionAnswer
from coordinator.web.point_requests import ExportRequest, NameRequest, PointQuery
from coordinator.web.protection_answers import JobAnswer
from coordinator.web.protection_presentation import job as present_job
from coordinator.web.table import OPERATORS, Call, Route, changing, reading


class PointHandlers:
    """Handlers of these resources."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def rows(self) -> tuple[Route, ...]:
        """Return the rows of these resources."""
        return (
            reading(
                "/protections/{name}/points",
                self.list_points,
                "List the recovery points of a protection, newest first",
                PointQuery,
                Listing[PointAnswer],
            ),
            reading(
                "/protections/{name}/points/{point}",
                self.get_point,
                "A recovery point",
                NoQuery,
                PointAnswer,
            ),
            changing(
                "/protections/{name}/points",
                self.name_point,
                "Begin to take a recovery point that has a name",
                NameRequest,
                JobAnswer,
                roles=OPERATORS,
                status=HTTPStatus.ACCEPTED,
            ),
            changing(
                "/protections/{name}/points/{point}/digest",
                self.digest_point,
                "Begin to read a whole recovery point at its target, for a digest of every disk",
                NoBody,
                JobAnswer,
                roles=OPERATORS,
                status=HTTPStatus.ACCEPTED,
            ),
            changing(
                "/protections/{name}/points/{point}/export",
                self.export_point,
                "Begin to write a disk of a recovery point into the target's export folder",
                ExportRequest,
                JobAnswer,
                roles=OPERATORS,
                status=HTTPStatus.ACCEPTED,
            ),
            reading(
                "/protections/{name}/retention",
                self.get_retention,
                "How far back the recovery points of a protection reach",
                NoQuery,
                RetentionAnswer,
            ),
        )

    async def list_points(self, call: Call, query: PointQuery) -> Listing[PointAnswer]:
        """Return the points of a protection, newest first."""
        wanted = PointFilter(query.kind, query.captured_from, query.captured_until)
        async with self._vault.store.read() as records:
            page = await points_page(records, call.path["name"], query.cursor, query.limit, wanted)
        return listing(page, map(presentation.point, page.items))

    async def get_point(self, call: Call, _query: NoQuery) -> PointAnswer:
        """Return one point."""
        async with self._vault.store.read() as records:
            found = await selected_point(records, call.path["name"], call.path["point"])
        return presentation.point(found)

    async def name_point(self, call: Call, body: NameRequest) -> JobAnswer:
        """Begin to take a point that has a name."""
        job = await name_point(self._vault, call.command, call.path["name"], body.name)
        return present_job(job, job_progress(self._vault, job))

    async def digest_point(self, call: Call, _body: NoBody) -> JobAnswer:
        """Begin to read a whole point."""
        job = await digest_point(self._vault, call.command, call.path["name"], call.path["point"])
        return present_job(job, job_progress(self._vault, job))

    async def export_point(self, call: Call, body: ExportRequest) -> JobAnswer:
        """Begin to write a disk of a point."""
        wish = ExportWish(body.disk, body.file_name)
        path = call.path
        job = await export_point(self._vault, call.command, path["name"], path["point"], wish)
        return present_job(job, job_progress(self._vault, job))

    async def get_retention(self, call: Call, _query: NoQuery) -> RetentionAnswer:
        """Return how far back points reach."""
        async with self._vault.store.read() as records:
            found = await retention_status(records, call.path["name"])
        return presentation.retention(found)
