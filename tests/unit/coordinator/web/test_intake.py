import asyncio
import hashlib

import pytest
from aiohttp import web
from pydantic import ValidationError

from coordinator.domain.identifiers import OperatorId
from coordinator.domain.operators import Operator, OperatorRole
from coordinator.web import intake
from coordinator.web.intake import command_of, read_body, read_query
from coordinator.web.models import ListQuery, NoQuery
from coordinator.web.policy_requests import PolicyRequest
from coordinator.web.problems import BadRequestError, QueryError
from coordinator.web.requests import AuditQuery, CleanUpRequest, JobQuery
from tests.unit.coordinator.examples import NOW
from tests.unit.coordinator.requests import request

ANN = Operator(OperatorId("o"), "ann", OperatorRole.OWNER, NOW)


async def test_a_body_is_read_as_its_model_and_an_empty_one_as_an_empty_object() -> None:
    body = {"name": "p", "copy_frequency_seconds": 5, "retention_hours": 1}
    assert (await read_body(request(body=body), PolicyRequest)).copy_frequency_seconds == 5
    assert (await read_body(request(), CleanUpRequest)).notes == ""


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b"[" * 100_000, b"'a'", b"\x1f\x8b\x08"])
async def test_what_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequestError) as caught:
        await read_body(request(raw=raw), CleanUpRequest)
    assert caught.value.code == "not-json"


@pytest.mark.parametrize("body", [[], 5, "x", {"notes": 5}, {"note": "x"}])
async def test_what_is_not_the_model_is_refused(body: object) -> None:
    with pytest.raises(ValidationError):
        await read_body(request(body=body), CleanUpRequest)


def test_query_parameters_are_read_as_what_they_are() -> None:
    asked = read_query(request(path="/?state=running&limit=7&cursor=x"), JobQuery)
    assert (asked.state, asked.limit, asked.cursor, asked.subject) == ("running", 7, "x", None)
    assert read_query(request(), ListQuery).limit == 100
    assert read_query(request(path="/?after=12"), AuditQuery).after == 12


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "limit=", "state=done", "colour=red", "subject="],
)
def test_what_a_path_does_not_know_is_refused(query: str) -> None:
    with pytest.raises(QueryError):
        read_query(request(path=f"/?{query}"), JobQuery)
    with pytest.raises(QueryError):
        read_query(request(path=f"/?{query}"), NoQuery)


def test_a_parameter_is_given_once() -> None:
    with pytest.raises(BadRequestError) as caught:
        read_query(request(path="/?limit=1&limit=2"), ListQuery)
    assert caught.value.code == "parameter-repeated"


async def test_a_request_without_a_key_is_new_every_time() -> None:
    command = await command_of(request("POST", "/x"), ANN)
    assert (command.actor, command.key) == ("operator/ann", None)


async def test_a_key_is_bound_to_method_path_and_body() -> None:
    async def digest(method: str, path: str, raw: bytes) -> bytes:
        made = request(method, path, raw=raw, headers={"Idempotency-Key": "k-1"})
        command = await command_of(made, ANN)
        assert command.key == "k-1"
        return command.digest

    first = await digest("POST", "/sites", b"{}")
    assert first == hashlib.sha256(b"POST /sites\n{}").digest()
    assert await digest("POST", "/sites", b"{}") == first
    others = [
        await digest("PUT", "/sites", b"{}"),
        await digest("POST", "/site%73", b"{}"),
        await digest("POST", "/sites", b"{ }"),
    ]
    assert first not in others


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "schlüssel", "a\tb"])
async def test_a_key_is_visible_ascii(key: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        await command_of(request("POST", headers={"Idempotency-Key": key}), ANN)
    assert caught.value.code == "invalid-idempotency-key"


async def test_a_body_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = request("POST")

    async def never() -> bytes:
        await asyncio.Event().wait()
        return b""

    monkeypatch.setattr(intake, "BODY_SECONDS", 0.0)
    monkeypatch.setattr(type(made), "read", lambda _request: never())
    with pytest.raises(web.HTTPRequestTimeout):
        await read_body(made, CleanUpRequest)
