"""What a route is: method, path, who may use it, what it takes and what it answers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from coordinator.domain.commands import Command
from coordinator.domain.operators import Operator, OperatorRole
from coordinator.web.models import Answer, Input
from replikera.identity import Caller

PREFIX = "/api/v1"

EVERYBODY = frozenset(OperatorRole)
OWNERS = frozenset({OperatorRole.OWNER})
CONTRIBUTORS = frozenset({OperatorRole.CONTRIBUTOR, OperatorRole.OWNER})
OPERATORS = frozenset({OperatorRole.OPERATOR, OperatorRole.OWNER})
AUDITORS = frozenset({OperatorRole.AUDITOR, OperatorRole.OWNER})


@dataclass(frozen=True, slots=True)
class Call:
    """One request of an operator who may make it."""

    caller: Caller
    operator: Operator
    command: Command
    path: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Opened:
    """The bytes of an answer: as many as `size` says."""

    size: int
    chunks: AsyncIterator[bytes]
    file_name: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """An answer that is not one of our models; its bytes are there while `opening` is entered."""

    content_type: str
    opening: AbstractAsyncContextManager[Opened]


Taken = TypeVar("Taken", bound=Input)
Given = TypeVar("Given", bound=Answer)


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path: a row of the table. What has none does not exist.

    `takes` is the body of a POST, the query parameters of a GET. `gives` is the model of the answer, or the content
    type of one that has no model.
    """

    method: str
    path: str
    summary: str
    roles: frozenset[OperatorRole]
    handler: Callable[[Call, Any], Awaitable[Answer | Content]]
    takes: type[Input]
    gives: type[Answer] | str
    status: HTTPStatus = HTTPStatus.OK
    is_open_while_reconciling: bool = True

    @property
    def operation(self) -> str:
        """Return the name of the operation, as in generated clients."""
        first, *rest = self.handler.__name__.split("_")
        return first + "".join(word.capitalize() for word in rest)


def reading(
    path: str,
    handler: Callable[[Call, Taken], Awaitable[Given]],
    summary: str,
    takes: type[Taken],
    gives: type[Given],
    *,
    roles: frozenset[OperatorRole] = EVERYBODY,
) -> Route:
    """Return the row of a path that changes nothing."""
    return Route("GET", PREFIX + path, summary, roles, handler, takes, gives)


def changing(
    path: str,
    handler: Callable[[Call, Taken], Awaitable[Given]],
    summary: str,
    takes: type[Taken],
    gives: type[Given],
    *,
    roles: frozenset[OperatorRole],
    status: HTTPStatus = HTTPStatus.OK,
    is_open_while_reconciling: bool = False,
) -> Route:
    """Return the row of a path that changes the vault, closed while it reconciles unless told otherwise."""
    return Route(
        "POST",
        PREFIX + path,
        summary,
        roles,
        handler,
        takes,
        gives,
        status,
        is_open_while_reconciling,
    )


def telling(
    path: str,
    handler: Callable[[Call, Taken], Awaitable[Content]],
    summary: str,
    takes: type[Taken],
    content_type: str,
    *,
    roles: frozenset[OperatorRole] = EVERYBODY,
) -> Route:
    """Return the row of a path that answers with something else than one of our models."""
    return Route("GET", PREFIX + path, summary, roles, handler, takes, content_type)
