"""Every route, with the roles that may use it. What has no row does not exist."""

from aiohttp import web

from coordinator.orchestration.vault import Vault
from coordinator.web.catalogue import CatalogueHandlers
from coordinator.web.dispatch import dispatched
from coordinator.web.history import HistoryHandlers
from coordinator.web.hosts import HostHandlers
from coordinator.web.jobs import JobHandlers
from coordinator.web.network_mappings import NetworkMappingHandlers
from coordinator.web.openapi import OpenApi
from coordinator.web.operators import OperatorHandlers
from coordinator.web.placements import PlacementHandlers
from coordinator.web.points import PointHandlers
from coordinator.web.policies import PolicyHandlers
from coordinator.web.problems import problems
from coordinator.web.protection_changes import ProtectionChangeHandlers
from coordinator.web.protections import ProtectionHandlers
from coordinator.web.responses import harden
from coordinator.web.sites import SiteHandlers
from coordinator.web.storage_mappings import StorageMappingHandlers
from coordinator.web.table import Route
from coordinator.web.vaults import VaultHandlers

MAX_BODY_BYTES = 64 * 1024


def routes(vault: Vault) -> tuple[Route, ...]:
    """Return all rows."""
    document = OpenApi()
    table = (
        *VaultHandlers(vault).rows(),
        *document.rows(),
        *OperatorHandlers(vault).rows(),
        *SiteHandlers(vault).rows(),
        *HostHandlers(vault).rows(),
        *CatalogueHandlers(vault).rows(),
        *PolicyHandlers(vault).rows(),
        *NetworkMappingHandlers(vault).rows(),
        *StorageMappingHandlers(vault).rows(),
        *PlacementHandlers(vault).rows(),
        *ProtectionHandlers(vault).rows(),
        *ProtectionChangeHandlers(vault).rows(),
        *PointHandlers(vault).rows(),
        *JobHandlers(vault).rows(),
        *HistoryHandlers(vault).rows(),
    )
    document.describe(table)
    return table


def application(vault: Vault) -> web.Application:
    """Return the application with every row behind its roles."""
    app = web.Application(middlewares=[problems], client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(harden)
    for route in routes(vault):
        app.router.add_route(route.method, route.path, dispatched(vault, route))
    return app
