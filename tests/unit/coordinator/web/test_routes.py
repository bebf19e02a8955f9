import re
from pathlib import Path
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator

from coordinator.domain.operators import OperatorRole
from coordinator.orchestration.vault import Vault
from coordinator.web.openapi import document
from coordinator.web.routes import MAX_BODY_BYTES, application, routes
from coordinator.web.table import PREFIX, Route

DOCUMENT = Path(__file__).parents[4] / "docs/rest.md"
ROW = re.compile(r"\| `(GET|POST) ([^`]+)`( †)? \| ([a-z, ]+) \|.*")
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def documented() -> dict[tuple[str, str], tuple[frozenset[str], bool]]:
    """Return the roles of each row of the document, and whether it is open while the vault reconciles."""
    rows = [ROW.fullmatch(line) for line in DOCUMENT.read_text().splitlines()]
    return {
        (row[1], row[2]): (
            frozenset(OperatorRole) if row[4] == "all" else frozenset(row[4].split(", ")),
            row[1] == "GET" or row[3] is not None,
        )
        for row in rows
        if row is not None
    }


def described(vault: Vault) -> dict[str, Any]:
    return document(routes(vault))


def references(part: object) -> list[str]:
    if isinstance(part, dict):
        found = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return found + [name for value in part.values() for name in references(value)]
    return [name for value in part for name in references(value)] if isinstance(part, list) else []


async def test_routes_roles_and_exceptions_are_those_of_the_document(vault: Vault) -> None:
    served = {
        (row.method, row.path.removeprefix(PREFIX)): (row.roles, row.is_open_while_reconciling)
        for row in routes(vault)
    }
    assert served == documented()


async def test_the_application_serves_every_row_and_nothing_else(vault: Vault) -> None:
    app = application(vault)
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }
    assert served == {(row.method, row.path) for row in routes(vault)}
    assert len(app.router.routes()) == len(routes(vault))
    assert app._client_max_size == MAX_BODY_BYTES == 64 * 1024


async def test_no_row_is_without_roles_and_an_owner_may_do_everything(vault: Vault) -> None:
    for row in routes(vault):
        assert OperatorRole.OWNER in row.roles, row
        assert row.summary, row


async def test_only_reading_and_the_own_certificate_are_open_to_a_reader(vault: Vault) -> None:
    changing = {row.path for row in routes(vault) if row.method == "POST" and reads(row)}
    assert changing == {f"{PREFIX}/operators/self/renew"}
    closed = {row.path for row in routes(vault) if row.method == "GET" and not reads(row)}
    assert closed == {f"{PREFIX}/audit", f"{PREFIX}/vault/backup"}


def reads(row: Route) -> bool:
    return OperatorRole.READER in row.roles


async def test_the_description_is_openapi_and_every_reference_leads_somewhere(
    vault: Vault,
) -> None:
    whole = described(vault)
    OpenAPIV31SpecValidator(whole).validate()
    found = references(whole)
    assert found
    for name in set(found):
        place: Any = whole
        for part in name.removeprefix("#/").split("/"):
            place = place[part]
        assert place, name


async def test_the_document_names_every_field(vault: Vault) -> None:
    words = set(re.findall(r"[a-z0-9_]+", DOCUMENT.read_text()))
    for name, schema in described(vault)["components"]["schemas"].items():
        missing = set(schema.get("properties", {})) - words
        assert not missing, f"{name}: {missing}"


async def test_every_row_is_described_once_under_a_name_of_its_own(vault: Vault) -> None:
    table, paths = routes(vault), described(vault)["paths"]
    assert {(method.upper(), path) for path, item in paths.items() for method in item} == {
        (row.method, row.path) for row in table
    }
    names = [item["operationId"] for path in paths.values() for item in path.values()]
    assert len(set(names)) == len(names) == len(table)
    assert {method for path in paths.values() for method in path} <= METHODS


async def test_every_operation_tells_its_problems_and_how_to_prove_oneself(vault: Vault) -> None:
    whole = described(vault)
    (response,) = (whole["components"]["responses"][name] for name in ("Problem",))
    assert set(response["content"]) == {"application/problem+json"}
    assert [item["type"] for item in whole["components"]["securitySchemes"].values()] == [
        "mutualTLS"
    ]
    assert whole["security"]
    for path in whole["paths"].values():
        for operation in path.values():
            assert "security" not in operation
            for status in ("4XX", "5XX"):
                assert operation["responses"][status] == {"$ref": "#/components/responses/Problem"}


async def test_every_list_is_paged(vault: Vault) -> None:
    for row in routes(vault):
        is_list = not isinstance(row.gives, str) and "next_cursor" in row.gives.model_fields
        assert is_list == ("cursor" in row.takes.model_fields), row
