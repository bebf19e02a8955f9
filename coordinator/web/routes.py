"""Every route, with the roles that may use it. What has no row does not exist."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from coordinator.orchestration.vault import Vault
from coordinator.web.access import guarded
from coordinator.web.catalogue import CatalogueHandlers
from coordinator.web.problems import problems
from coordinator.web.protections import ProtectionHandlers
from replikera.identity import Role

PREFIX = "/api/v1"
MAX_BODY_BYTES = 64 * 1024
OPERATORS = frozenset({Role.OPERATOR})


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    roles: frozenset[Role]


def routes(vault: Vault) -> tuple[Route, ...]:
    """Return all routes."""
    shelf, guard = CatalogueHandlers(vault), ProtectionHandlers(vault)
    table = (
        ("GET", "/vault", shelf.get_vault),
        ("GET", "/status", shelf.get_status),
        ("POST", "/host-invitations", shelf.invite_host),
        ("GET", "/hosts", shelf.list_hosts),
        ("GET", "/machines", shelf.list_machines),
        ("GET", "/networks", shelf.list_networks),
        ("GET", "/policies", shelf.list_policies),
        ("POST", "/policies", shelf.create_policy),
        ("GET", "/network-mappings", shelf.list_mappings),
        ("POST", "/network-mappings", shelf.create_mapping),
        ("GET", "/protections", guard.list_protections),
        ("POST", "/protections", guard.enable),
        ("GET", "/protections/{name}", guard.get_protection),
        ("GET", "/protections/{name}/points", guard.list_points),
        ("POST", "/protections/{name}/test-failovers", guard.start_test_failover),
        ("POST", "/protections/{name}/test-failovers/clean-up", guard.clean_up_test_failover),
        ("GET", "/test-failovers", guard.list_test_failovers),
        ("GET", "/test-failovers/{id}", guard.get_test_failover),
        ("GET", "/jobs", guard.list_jobs),
        ("GET", "/jobs/{id}", guard.get_job),
    )
    return tuple(
        Route(method, PREFIX + path, handler, OPERATORS) for method, path, handler in table
    )


def application(vault: Vault) -> web.Application:
    """Return the application with every route behind its roles."""
    app = web.Application(middlewares=[problems], client_max_size=MAX_BODY_BYTES)
    for route in routes(vault):
        handler = guarded(vault.record.id, route.roles, route.handler)
        app.router.add_route(route.method, route.path, handler)
    return app
