import pytest

from coordinator.domain.errors import ForbiddenError
from coordinator.domain.identifiers import VaultId
from coordinator.web.access import check_origin, operator_caller
from replikera.identity import Role
from tests.unit.coordinator.calls import credentials
from tests.unit.coordinator.requests import request, request_of

VAULT = VaultId("v-1")


def test_an_operator_of_this_vault_is_known_by_name() -> None:
    caller = operator_caller(request_of(credentials(Role.OPERATOR, "ann", "v-1")), VAULT)
    assert (caller.role, caller.name, caller.vault_id) == (Role.OPERATOR, "ann", "v-1")


@pytest.mark.parametrize(
    ("role", "vault_id"),
    [
        *((role, "v-1") for role in Role if role is not Role.OPERATOR),
        (Role.OPERATOR, "v-2"),
    ],
)
def test_others_are_refused(role: Role, vault_id: str) -> None:
    with pytest.raises(ForbiddenError) as caught:
        operator_caller(request_of(credentials(role, "ann", vault_id)), VAULT)
    assert caught.value.code == "role-not-allowed"


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://vault.test:7403"}, True),
        ({"Origin": "https://evil.test"}, False),
        ({"Origin": "http://vault.test:7403"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
def test_a_browser_does_not_lend_its_certificate(headers: dict[str, str], is_let_in: bool) -> None:
    asked = request("POST", headers={"Host": "vault.test:7403", **headers})
    if is_let_in:
        check_origin(asked)
        return
    with pytest.raises(ForbiddenError) as caught:
        check_origin(asked)
    assert caught.value.code == "cross-site-request"


@pytest.mark.parametrize("tls", [True, False])
def test_nobody_is_refused(tls: bool) -> None:
    with pytest.raises(ForbiddenError) as caught:
        operator_caller(request_of(None, tls=tls), VAULT)
    assert caught.value.code == "not-identified"
