"""Resources of sites and clouds."""

from http import HTTPStatus

from coordinator.orchestration import sites
from coordinator.orchestration.vault import Vault
from coordinator.web import presentation
from coordinator.web.answers import CloudAnswer, SiteAnswer
from coordinator.web.models import Listing, ListQuery, listing
from coordinator.web.requests import CloudRequest, SiteRequest
from coordinator.web.table import CONTRIBUTORS, Call, Route, changing, reading


class SiteHandlers:
    """Handlers of these resources."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def rows(self) -> tuple[Route, ...]:
        """Return the rows of these resources."""
        return (
            reading("/sites", self.list_sites, "List sites", ListQuery, Listing[SiteAnswer]),
            changing(
                "/sites",
                self.create_site,
                "Create a site",
                SiteRequest,
                SiteAnswer,
                roles=CONTRIBUTORS,
                status=HTTPStatus.CREATED,
            ),
            reading("/clouds", self.list_clouds, "List clouds", ListQuery, Listing[CloudAnswer]),
            changing(
                "/clouds",
                self.create_cloud,
                "Create a cloud at a site",
                CloudRequest,
                CloudAnswer,
                roles=CONTRIBUTORS,
                status=HTTPStatus.CREATED,
            ),
        )

    async def list_sites(self, _call: Call, query: ListQuery) -> Listing[SiteAnswer]:
        """Return sites by name."""
        async with self._vault.store.read() as records:
            page = await records.sites.page(query.cursor, query.limit)
        return listing(page, map(presentation.site, page.items))

    async def create_site(self, call: Call, body: SiteRequest) -> SiteAnswer:
        """Make a site."""
        return presentation.site(await sites.create_site(self._vault, call.command, body.name))

    async def list_clouds(self, _call: Call, query: ListQuery) -> Listing[CloudAnswer]:
        """Return clouds by name."""
        async with self._vault.store.read() as records:
            page = await records.clouds.page(query.cursor, query.limit)
        return listing(page, map(presentation.cloud, page.items))

    async def create_cloud(self, call: Call, body: CloudRequest) -> CloudAnswer:
        """Make a cloud at a site."""
        made = await sites.create_cloud(self._vault, call.command, body.name, body.site)
        return presentation.cloud(made)
