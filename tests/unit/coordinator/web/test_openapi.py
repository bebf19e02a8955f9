import json
from http import HTTPStatus
from typing import Any

from coordinator.domain.identifiers import OperatorId
from coordinator.domain.operators import Operator, OperatorRole
from coordinator.web.models import Listing, NoQuery
from coordinator.web.openapi import OpenApi, document
from coordinator.web.protection_answers import JobAnswer
from coordinator.web.requests import CleanUpRequest, JobQuery, SiteRequest
from coordinator.web.table import EVERYBODY, OWNERS, Call, changing, reading
from tests.unit.coordinator.examples import NOW


async def list_things(_call: Call, _query: JobQuery) -> Listing[JobAnswer]:
    raise NotImplementedError


async def begin_thing(_call: Call, _body: CleanUpRequest) -> JobAnswer:
    raise NotImplementedError


async def name_thing(_call: Call, _body: SiteRequest) -> JobAnswer:
    raise NotImplementedError


TABLE = (
    reading("/things", list_things, "List things", JobQuery, Listing[JobAnswer]),
    changing(
        "/things/{name}/begin",
        begin_thing,
        "Begin",
        CleanUpRequest,
        JobAnswer,
        roles=OWNERS,
        status=HTTPStatus.ACCEPTED,
    ),
    changing("/things", name_thing, "Name", SiteRequest, JobAnswer, roles=EVERYBODY),
)


def operation(path: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = document(TABLE)["paths"][f"/api/v1{path}"][method]
    return found


def test_a_row_is_an_operation_with_its_roles() -> None:
    begin = operation("/things/{name}/begin", "post")
    assert (begin["operationId"], begin["summary"]) == ("beginThing", "Begin")
    assert begin["x-roles"] == ["owner"]
    assert begin["x-open-while-reconciling"] is False
    name, key = begin["parameters"]
    assert (name["name"], name["in"], name["required"]) == ("name", "path", True)
    assert key == {"$ref": "#/components/parameters/IdempotencyKey"}
    assert begin["requestBody"]["required"] is False
    assert operation("/things", "post")["requestBody"]["required"] is True
    assert set(begin["responses"]) == {"202", "4XX", "5XX"}
    assert set(begin["responses"]["202"]["headers"]) == {"Location", "Retry-After"}


def test_query_parameters_are_parameters_and_nothing_else() -> None:
    listed = operation("/things", "get")
    assert "requestBody" not in listed
    by_name = {item["name"]: item for item in listed["parameters"]}
    assert set(by_name) == {"limit", "cursor", "state", "subject"}
    assert by_name["limit"]["schema"] == {
        "type": "integer",
        "default": 100,
        "minimum": 1,
        "maximum": 1000,
    }
    assert by_name["state"]["schema"] == {"$ref": "#/components/schemas/JobState"}
    assert all(item["description"] for item in listed["parameters"])
    schemas = document(TABLE)["components"]["schemas"]
    assert "JobQuery" not in schemas
    assert {"JobAnswer", "JobState", "Problem", "SiteRequest"} <= set(schemas)


def test_operators_prove_themselves_by_certificate() -> None:
    made = document(TABLE)
    (name,) = made["security"][0]
    assert made["components"]["securitySchemes"][name]["type"] == "mutualTLS"


async def test_the_document_is_served_as_it_was_made() -> None:
    api = OpenApi()
    (row,) = api.rows()
    api.describe((*TABLE, row))
    operator = Operator(OperatorId("o"), "ann", OperatorRole.READER, NOW)
    call = Call(None, operator, None, {})  # type: ignore[arg-type]  # not looked at
    content = await api.get_openapi(call, NoQuery())
    async with content.opening as opened:
        chunks = [chunk async for chunk in opened.chunks]
    data = b"".join(chunks)
    assert (len(data), content.content_type) == (opened.size, "application/json")
    assert "/api/v1/openapi.json" in json.loads(data)["paths"]
