import re
from pathlib import Path

from coordinator.orchestration.vault import Vault
from coordinator.web.routes import MAX_BODY_BYTES, PREFIX, application, routes
from replikera.identity import Role

DOCUMENT = Path(__file__).parents[4] / "docs/rest.md"


def documented() -> set[tuple[str, str]]:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    return {
        (method, path)
        for row in rows
        for method, path in re.findall(r"`(GET|POST) ([^`]+)`", row.split(" | ")[0])
    }


async def test_the_routes_are_those_of_the_document(vault: Vault) -> None:
    served = {(route.method, route.path.removeprefix(PREFIX)) for route in routes(vault)}
    assert served == documented()


async def test_only_operators_are_let_in_anywhere(vault: Vault) -> None:
    assert {route.roles for route in routes(vault)} == {frozenset({Role.OPERATOR})}


async def test_the_application_serves_every_row_and_nothing_else(vault: Vault) -> None:
    app = application(vault)
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }
    assert served == {(route.method, route.path) for route in routes(vault)}
    assert app._client_max_size == MAX_BODY_BYTES == 64 * 1024
