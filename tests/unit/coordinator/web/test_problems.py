from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from coordinator.domain.errors import (
    DomainError,
    ForbiddenError,
    IllegalTransitionError,
    InvalidValueError,
    RefusedError,
    UnknownObjectError,
)
from coordinator.store.errors import StoreError
from coordinator.web.policy_requests import PolicyRequest
from coordinator.web.problems import CONTENT_TYPE, BadRequestError, QueryError, problems
from coordinator.web.requests import JobQuery
from tests.unit.coordinator.requests import body_of, request


async def problem(error: Exception) -> tuple[int, dict[str, Any]]:
    async def handler(_request: web.Request) -> web.StreamResponse:
        raise error

    response = await problems(request(), handler)
    assert response.content_type == CONTENT_TYPE
    return response.status, body_of(response)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownObjectError("c", "Cause.", "Remedy."), 404),
        (IllegalTransitionError("c", "Cause.", "Remedy."), 409),
        (RefusedError("c", "Cause.", "Remedy."), 409),
        (ForbiddenError("c", "Cause.", "Remedy."), 403),
        (InvalidValueError("c", "Cause.", "Remedy.", field="name"), 422),
        (StoreError("c", "Cause.", "Remedy."), 503),
    ],
)
async def test_every_error_has_a_status_and_tells_code_cause_and_remedy(
    error: DomainError | StoreError, status: int
) -> None:
    told, document = await problem(error)
    assert told == document["status"] == status
    assert (document["code"], document["detail"], document["remedy"]) == (
        "c",
        "Cause.",
        "Remedy.",
    )
    expected = [{"pointer": "/name", "detail": "Cause."}] if status == 422 else None
    assert document.get("errors") == expected


async def test_no_error_of_the_domain_is_without_a_status() -> None:
    for kind in DomainError.__subclasses__():
        error = kind.__new__(kind)
        DomainError.__init__(error, "c", "Cause.", "Remedy.")
        vars(error).setdefault("field", "name")
        assert (await problem(error))[1]["code"] == "c"


async def test_every_wrong_field_is_pointed_at_and_no_value_is_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        PolicyRequest.model_validate({"name": "a" * 300, "retention_hours": "secret", "x": 1})
    status, document = await problem(caught.value)
    assert (status, document["code"]) == (422, "invalid-request")
    assert [error["pointer"] for error in document["errors"]] == [
        "/name",
        "/copy_frequency_seconds",
        "/retention_hours",
        "/x",
    ]
    assert "secret" not in str(document)


async def test_a_wrong_query_parameter_is_pointed_at() -> None:
    with pytest.raises(ValidationError) as caught:
        JobQuery.model_validate({"limit": "many", "colour": "red"})
    status, document = await problem(QueryError(caught.value))
    assert (status, document["code"]) == (422, "invalid-request")
    assert [error["pointer"] for error in document["errors"]] == ["?limit", "?colour"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (web.HTTPNotFound(), 404, "unknown-path"),
        (web.HTTPMethodNotAllowed("PUT", ["GET"]), 405, "method-not-allowed"),
        (web.HTTPRequestEntityTooLarge(1, 2), 413, "body-too-large"),
        (web.HTTPBadRequest(), 400, "http-error"),
        (web.HTTPRequestTimeout(), 408, "body-too-slow"),
        (BadRequestError("not-json", "Cause.", "Remedy."), 400, "not-json"),
        (KeyError("a secret"), 500, "internal-error"),
    ],
)
async def test_what_goes_wrong_elsewhere_is_a_problem_too(
    error: Exception, status: int, code: str
) -> None:
    told, document = await problem(error)
    assert (told, document["code"]) == (status, code)
    assert document["remedy"]
    assert "secret" not in str(document)


async def test_an_answer_passes() -> None:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="fine")

    assert (await problems(request(), handler)).status == 200
