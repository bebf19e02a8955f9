"""Resources of protections and their test failovers."""

from datetime import timedelta
from http import HTTPStatus

from coordinator.domain.orders import Seed
from coordinator.orchestration.progress import job_progress
from coordinator.orchestration.protections import DiskWishes, enable_protection
from coordinator.orchestration.rehearsals import (
    RehearsalWish,
    clean_up_rehearsal,
    plan_rehearsal,
    start_rehearsal,
)
from coordinator.orchestration.status import protection_statuses
from coordinator.orchestration.vault import Vault
from coordinator.web import protection_presentation as presentation
from coordinator.web.models import Listing, ListQuery, NoQuery, listing
from coordinator.web.protection_answers import (
    JobAnswer,
    ProtectionAnswer,
    TestFailoverAnswer,
    TestFailoverPlanAnswer,
)
from coordinator.web.requests import (
    CleanUpRequest,
    ProtectionRequest,
    TestFailoverPlanQuery,
    TestFailoverRequest,
)
from coordinator.web.table import CONTRIBUTORS, OPERATORS, Call, Route, changing, reading

_NO_END_S = 1 << 31
"""More than any test may stand for: longer ones are refused, and need not be told apart."""


class ProtectionHandlers:
    """Handlers of these resources."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def rows(self) -> tuple[Route, ...]:
        """Return the rows of these resources."""
        return (
            reading(
                "/protections",
                self.list_protections,
                "List protections",
                ListQuery,
                Listing[ProtectionAnswer],
            ),
            changing(
                "/protections",
                self.enable_protection,
                "Begin to protect a machine",
                ProtectionRequest,
                JobAnswer,
                roles=CONTRIBUTORS,
                status=HTTPStatus.ACCEPTED,
            ),
            reading(
                "/protections/{name}",
                self.get_protection,
                "A protection",
                NoQuery,
                ProtectionAnswer,
            ),
            changing(
                "/protections/{name}/test-failovers",
                self.start_test_failover,
                "Begin a test failover",
                TestFailoverRequest,
                JobAnswer,
                roles=OPERATORS,
                status=HTTPStatus.ACCEPTED,
            ),
            reading(
                "/protections/{name}/test-failovers/plan",
                self.plan_test_failover,
                "What a test failover would do now",
                TestFailoverPlanQuery,
                TestFailoverPlanAnswer,
            ),
            changing(
                "/protections/{name}/test-failovers/clean-up",
                self.clean_up_test_failover,
                "Begin to remove everything of a test failover",
                CleanUpRequest,
                JobAnswer,
                roles=OPERATORS,
                status=HTTPStatus.ACCEPTED,
            ),
            reading(
                "/test-failovers",
                self.list_test_failovers,
                "List test failovers, newest first",
                ListQuery,
                Listing[TestFailoverAnswer],
            ),
            reading(
                "/test-failovers/{id}",
                self.get_test_failover,
                "A test failover",
                NoQuery,
                TestFailoverAnswer,
            ),
        )

    async def list_protections(self, _call: Call, query: ListQuery) -> Listing[ProtectionAnswer]:
        """Return protections by the names of their machines."""
        async with self._vault.store.read() as records:
            page = await records.protections.page(query.cursor, query.limit)
            found = await protection_statuses(self._vault, records, page.items)
        return listing(page, map(presentation.protection, found))

    async def enable_protection(self, call: Call, body: ProtectionRequest) -> JobAnswer:
        """Begin to protect a machine."""
        seeds = tuple(Seed(item.disk, item.file) for item in body.seeds)
        job = await enable_protection(
            self._vault,
            call.command,
            body.machine,
            body.target_host,
            body.policy,
            disks=DiskWishes(body.excluded_disks, seeds),
            source=body.source_host,
        )
        return presentation.job(job, job_progress(self._vault, job))

    async def get_protection(self, call: Call, _query: NoQuery) -> ProtectionAnswer:
        """Return one protection."""
        async with self._vault.store.read() as records:
            protection = await records.protections.get(call.path["name"])
            (status,) = await protection_statuses(self._vault, records, (protection,))
        return presentation.protection(status)

    async def start_test_failover(self, call: Call, body: TestFailoverRequest) -> JobAnswer:
        """Begin a test failover."""
        wish = RehearsalWish(
            str(body.point), body.network, timedelta(seconds=min(body.lasts_seconds, _NO_END_S))
        )
        job = await start_rehearsal(self._vault, call.command, call.path["name"], wish)
        return presentation.job(job, job_progress(self._vault, job))

    async def plan_test_failover(
        self, call: Call, query: TestFailoverPlanQuery
    ) -> TestFailoverPlanAnswer:
        """Return what a test failover would do."""
        wish = RehearsalWish(query.point, query.network)
        async with self._vault.store.read() as records:
            plan = await plan_rehearsal(self._vault, records, call.path["name"], wish)
        return presentation.rehearsal_plan(plan)

    async def clean_up_test_failover(self, call: Call, body: CleanUpRequest) -> JobAnswer:
        """Begin to remove a test failover."""
        job = await clean_up_rehearsal(self._vault, call.command, call.path["name"], body.notes)
        return presentation.job(job, job_progress(self._vault, job))

    async def list_test_failovers(
        self, _call: Call, query: ListQuery
    ) -> Listing[TestFailoverAnswer]:
        """Return test failovers, newest first."""
        async with self._vault.store.read() as records:
            page = await records.rehearsals.page(query.cursor, query.limit)
            names = {item.id: item.machine_name for item in await records.protections.all()}
        items = (
            presentation.rehearsal(rehearsal, names[rehearsal.protection_id])
            for rehearsal in page.items
        )
        return listing(page, items)

    async def get_test_failover(self, call: Call, _query: NoQuery) -> TestFailoverAnswer:
        """Return one test failover."""
        async with self._vault.store.read() as records:
            rehearsal = await records.rehearsals.get(call.path["id"])
            protection = await records.protections.get(rehearsal.protection_id)
        return presentation.rehearsal(rehearsal, protection.machine_name)
