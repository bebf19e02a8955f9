import pytest
from aiohttp import web

from coordinator.domain.errors import ForbiddenError
from coordinator.domain.identifiers import VaultId
from coordinator.web.access import CALLER, guarded
from replikera.identity import Role
from tests.unit.coordinator.calls import credentials
from tests.unit.coordinator.requests import request_of


async def handler(request: web.Request) -> web.Response:
    return web.Response(text=request[CALLER].name)


GUARDED = guarded(VaultId("v-1"), frozenset({Role.OPERATOR}), handler)


async def test_an_operator_of_this_vault_is_let_in_by_name() -> None:
    response = await GUARDED(request_of(credentials(Role.OPERATOR, "ann", "v-1")))
    assert isinstance(response, web.Response)
    assert response.text == "ann"


@pytest.mark.parametrize(
    ("role", "vault_id"), [(Role.HOST, "v-1"), (Role.VAULT, "v-1"), (Role.OPERATOR, "v-2")]
)
async def test_others_are_refused(role: Role, vault_id: str) -> None:
    with pytest.raises(ForbiddenError) as caught:
        await GUARDED(request_of(credentials(role, "ann", vault_id)))
    assert caught.value.code == "role-not-allowed"


@pytest.mark.parametrize("tls", [True, False])
async def test_nobody_is_refused(tls: bool) -> None:
    with pytest.raises(ForbiddenError) as caught:
        await GUARDED(request_of(None, tls=tls))
    assert caught.value.code == "not-identified"
