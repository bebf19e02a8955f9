import pytest

from coordinator.domain import operators
from coordinator.domain.errors import (
    ForbiddenError,
    IllegalTransitionError,
    InvalidValueError,
    RefusedError,
)
from coordinator.domain.events import EventKind
from coordinator.domain.identifiers import OperatorId
from coordinator.domain.operators import Operator, OperatorRole
from tests.unit.coordinator.examples import LATER, NOW


def made(name: str, role: OperatorRole = OperatorRole.OWNER) -> Operator:
    return operators.create(OperatorId(f"id of {name}"), name, role, NOW)[0]


def test_an_operator_has_a_name_that_a_certificate_can_carry() -> None:
    operator, decision = operators.create(OperatorId("o"), "ann", OperatorRole.READER, NOW)
    assert decision.aggregates == (operator,)
    (event,) = decision.events
    assert (event.kind, event.detail) == (EventKind.OPERATOR_CREATED, "ann as reader")
    for name in ("", "ann smith", "-ann", "a" * 64, "änn", "a.b", "a/b"):
        with pytest.raises(InvalidValueError):
            operators.create(OperatorId("o"), name, OperatorRole.READER, NOW)


@pytest.mark.parametrize("role", list(OperatorRole))
def test_anybody_but_the_last_owner_is_revoked(role: OperatorRole) -> None:
    operator, other = made("bob", role), made("ann")
    gone, decision = operator.revoked((other, operator), "left", LATER)
    assert (gone.revoked_at, decision.aggregates) == (LATER, (gone,))
    assert decision.events[0].detail == "bob: left"
    assert not gone.is_acting_owner
    with pytest.raises(ForbiddenError) as caught:
        gone.check_trusted()
    assert caught.value.code == "operator-revoked"


@pytest.mark.parametrize("others", [(), (made("ann"),)])
def test_the_last_owner_who_can_act_stays(others: tuple[Operator, ...]) -> None:
    with pytest.raises(RefusedError) as caught:
        made("ann").revoked(others, "", LATER)
    assert caught.value.code == "last-owner"


def test_nobody_is_revoked_twice() -> None:
    gone, _ = made("bob").revoked((made("ann"),), "", NOW)
    with pytest.raises(IllegalTransitionError):
        gone.revoked((made("ann"),), "", LATER)


def test_a_renewal_is_in_the_history() -> None:
    (event,) = made("ann").renewed("1f", LATER).events
    assert (event.kind, event.detail) == (EventKind.OPERATOR_RENEWED, "ann: certificate 1f")
    made("ann").check_trusted()
