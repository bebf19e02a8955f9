import pytest
from aiohttp import web

from coordinator.domain.operators import OperatorRole
from coordinator.orchestration.operators import revoke_operator
from coordinator.orchestration.vault import Vault
from coordinator.web import intake
from tests.unit.coordinator.asking import Asking, asking
from tests.unit.coordinator.requests import body_of
from tests.unit.coordinator.vaults import BY_ANN

KEY = {"Idempotency-Key": "key-1"}


@pytest.fixture
async def owner(vault: Vault) -> Asking:
    return await asking(vault, "olga", OperatorRole.OWNER)


async def test_the_role_decides_and_says_who_may(vault: Vault) -> None:
    reader = await asking(vault, "rita", OperatorRole.READER)
    response = await reader.ask("POST", "/sites", {"name": "north"})
    assert (response.status, body_of(response)["code"]) == (403, "role-not-allowed")
    assert "rita is a reader" in body_of(response)["detail"]
    assert "contributor, owner" in body_of(response)["detail"]
    assert (await reader.get("/sites"))["items"] == []


async def test_who_may_not_is_told_nothing_else(vault: Vault) -> None:
    reader = await asking(vault, "rita", OperatorRole.READER)
    bodies: list[object] = [{}, {"name": 5}, [], "x"]
    for body in bodies:
        assert await reader.refusal("POST", "/sites", body) == (403, "role-not-allowed")
    assert await reader.refusal("GET", "/audit?colour=red") == (403, "role-not-allowed")


async def test_the_body_and_the_parameters_are_those_of_the_row(owner: Asking) -> None:
    assert await owner.refusal("POST", "/sites", {"nom": "north"}) == (422, "invalid-request")
    assert await owner.refusal("POST", "/sites?limit=1", {"name": "x"}) == (422, "invalid-request")
    assert await owner.refusal("GET", "/sites?colour=red") == (422, "invalid-request")
    assert await owner.refusal("GET", "/vault?limit=1") == (422, "invalid-request")


async def test_the_same_request_is_done_once(owner: Asking) -> None:
    first = await owner.ask("POST", "/sites", {"name": "north"}, KEY)
    again = await owner.ask("POST", "/sites", {"name": "north"}, KEY)
    assert (first.status, again.status) == (201, 201)
    assert body_of(first) == body_of(again)
    other = await owner.ask("POST", "/sites", {"name": "south"}, KEY)
    assert (other.status, body_of(other)["code"]) == (409, "idempotency-key-reused")
    elsewhere = await owner.ask("POST", "/clouds", {"name": "c", "site": "north"}, KEY)
    assert body_of(elsewhere)["code"] == "idempotency-key-reused"
    bad = await owner.ask("POST", "/sites", {"name": "x"}, {"Idempotency-Key": "two words"})
    assert (bad.status, body_of(bad)["code"]) == (400, "invalid-idempotency-key")
    assert [item["name"] for item in (await owner.get("/sites"))["items"]] == ["north"]


async def test_another_operator_may_use_the_same_key(vault: Vault, owner: Asking) -> None:
    other = await asking(vault, "oleg", OperatorRole.OWNER)
    await owner.ask("POST", "/sites", {"name": "north"}, KEY)
    assert (await other.ask("POST", "/sites", {"name": "south"}, KEY)).status == 201


async def test_what_is_not_there_is_not_there(owner: Asking) -> None:
    assert await owner.refusal("GET", "/nowhere") == (404, "unknown-path")
    assert await owner.refusal("DELETE", "/sites") == (405, "method-not-allowed")


async def test_a_request_is_judged_when_it_is_complete(
    vault: Vault, owner: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    mallory = await asking(vault, "mallory", OperatorRole.OWNER)
    read = intake._read

    async def slow(request: web.Request) -> bytes:
        await revoke_operator(vault, BY_ANN, "mallory", "left")
        return await read(request)

    monkeypatch.setattr(intake, "_read", slow)
    assert (await mallory.refusal("POST", "/sites", {"name": "north"}))[0] == 403
    monkeypatch.undo()
    assert (await owner.get("/sites"))["items"] == []
