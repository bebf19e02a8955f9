from http import HTTPStatus

from coordinator.domain.operators import OperatorRole
from coordinator.web.models import Answer, NoBody, NoQuery
from coordinator.web.table import (
    AUDITORS,
    CONTRIBUTORS,
    EVERYBODY,
    OPERATORS,
    OWNERS,
    Call,
    Content,
    changing,
    reading,
    telling,
)


async def get_thing(_call: Call, _query: NoQuery) -> Answer:
    return Answer()


async def change_the_thing(_call: Call, _body: NoBody) -> Answer:
    return Answer()


async def tell_thing(_call: Call, _query: NoQuery) -> Content:
    raise NotImplementedError


def test_reading_is_open_to_everybody_at_any_time() -> None:
    row = reading("/things", get_thing, "A thing", NoQuery, Answer)
    assert (row.method, row.path, row.operation) == ("GET", "/api/v1/things", "getThing")
    assert (row.roles, row.status) == (frozenset(OperatorRole), HTTPStatus.OK)
    assert row.is_open_while_reconciling
    told = telling("/file", tell_thing, "A file", NoQuery, "application/x-tar", roles=OWNERS)
    assert (told.method, told.gives, told.roles) == ("GET", "application/x-tar", OWNERS)


def test_changing_is_closed_while_the_vault_reconciles_unless_told_otherwise() -> None:
    row = changing("/t", change_the_thing, "Change", NoBody, Answer, roles=CONTRIBUTORS)
    assert (row.method, row.operation) == ("POST", "changeTheThing")
    assert not row.is_open_while_reconciling
    row = changing(
        "/t",
        change_the_thing,
        "Change",
        NoBody,
        Answer,
        roles=OWNERS,
        status=HTTPStatus.ACCEPTED,
        is_open_while_reconciling=True,
    )
    assert row.is_open_while_reconciling
    assert row.status is HTTPStatus.ACCEPTED


def test_an_owner_may_do_everything_and_a_reader_nothing_but_read() -> None:
    for roles in (EVERYBODY, OWNERS, CONTRIBUTORS, OPERATORS, AUDITORS):
        assert OperatorRole.OWNER in roles
        assert (OperatorRole.READER in roles) == (roles == EVERYBODY)
