"""Operators: people and programs that query and steer the vault, each with one role.

A name is given once: whoever reads the history years later knows who was meant. At least one owner who can act always
stays, for nobody else makes operators.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import ForbiddenError, IllegalTransitionError, RefusedError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.identifiers import OperatorId, check_label

MAX_REASON_LENGTH = 500


class OperatorRole(StrEnum):
    """What an operator may do. All may read; what else is in the table of routes."""

    OWNER = "owner"
    """Everything, and alone: operators and overrides."""

    CONTRIBUTOR = "contributor"
    """Enable, disable, register."""

    OPERATOR = "operator"
    """Failovers and tests."""

    READER = "reader"
    AUDITOR = "auditor"
    """The audit log."""


@dataclass(frozen=True, slots=True)
class Operator(Aggregate):
    """An operator; `name` is the one in its certificates."""

    id: OperatorId
    name: str
    role: OperatorRole
    created_at: datetime
    revoked_at: datetime | None = None

    @property
    def is_acting_owner(self) -> bool:
        """Tell whether this is an owner that nobody has revoked."""
        return self.role is OperatorRole.OWNER and self.revoked_at is None

    def check_trusted(self) -> None:
        """Refuse an operator that was revoked."""
        if self.revoked_at is not None:
            raise ForbiddenError(
                "operator-revoked",
                f"Operator {self.name} was revoked on {self.revoked_at:%Y-%m-%d %H:%M} UTC.",
                "An owner may create an operator with another name: replikera operator create.",
            )

    def revoked(
        self, owners: Iterable["Operator"], reason: str, now: datetime
    ) -> tuple["Operator", Decision]:
        """Decide that this operator is let in no more. `owners` are those who can act, itself included."""
        if self.revoked_at is not None:
            raise IllegalTransitionError(
                "operator-revoked-already",
                f"Operator {self.name} was revoked on {self.revoked_at:%Y-%m-%d %H:%M} UTC.",
                "Nothing is left to do.",
            )
        if self.is_acting_owner and all(owner.id == self.id for owner in owners):
            raise RefusedError(
                "last-owner",
                f"Operator {self.name} is the only owner who can act: nobody could make another one.",
                "Create another owner first: replikera operator create --role owner.",
            )
        gone = replace(self, revoked_at=now)
        detail = f"{self.name}: {reason}" if reason else self.name
        event = Event(now, EventKind.OPERATOR_REVOKED, self.id, detail)
        return gone, Decision(aggregates=(gone,), events=(event,))

    def revoked_elsewhere(self, now: datetime) -> Decision:
        """Decide that what a lost history revoked stays so, the last owner too: another one can be made offline."""
        gone = replace(self, revoked_at=now)
        detail = f"{self.name}: revoked in a history that the vault does not have"
        event = Event(now, EventKind.OPERATOR_REVOKED, self.id, detail)
        return Decision(aggregates=(gone,), events=(event,))

    def renewed(self, serial: str, now: datetime) -> Decision:
        """Decide that the operator has got another certificate."""
        detail = f"{self.name}: certificate {serial}"
        return Decision(events=(Event(now, EventKind.OPERATOR_RENEWED, self.id, detail),))


def create(
    operator_id: OperatorId, name: str, role: OperatorRole, now: datetime
) -> tuple[Operator, Decision]:
    """Decide that there is a new operator."""
    operator = Operator(operator_id, check_label("operator", name, "name"), role, now)
    event = Event(now, EventKind.OPERATOR_CREATED, operator_id, f"{name} as {role}")
    return operator, Decision(aggregates=(operator,), events=(event,))
