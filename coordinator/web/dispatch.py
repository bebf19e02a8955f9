"""The one way of every request: who asks, may they, what do they say, and then the handler of the row."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from coordinator.domain.commands import by_operator
from coordinator.domain.errors import ForbiddenError
from coordinator.domain.operators import Operator
from coordinator.orchestration.operators import recognise
from coordinator.orchestration.vault import Vault
from coordinator.web.access import check_origin, operator_caller
from coordinator.web.intake import command_of, read_body, read_query, wait_for_body
from coordinator.web.models import Input, NoQuery, RequestBody
from coordinator.web.responses import answer, stream
from coordinator.web.table import Call, Content, Route

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def dispatched(vault: Vault, route: Route) -> Handler:
    """Return the handler of a row behind everything that is checked before it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        caller = operator_caller(request, vault.record.id)
        check_origin(request)
        # Judged when it is complete: a request must not outlive the right to make it.
        await wait_for_body(request)
        operator = await recognise(vault, caller)
        _check_role(route, operator)
        if not route.is_open_while_reconciling:
            vault.reconciliation.check_serving()
        taken = await _taken(request, route)
        command = by_operator(operator.name)
        if route.method == "POST":
            command = await command_of(request, operator)
        call = Call(caller, operator, command, request.match_info)
        given = await route.handler(call, taken)
        if isinstance(given, Content):
            return await stream(request, given)
        return answer(given, route.status)

    return handle


def _check_role(route: Route, operator: Operator) -> None:
    if operator.role not in route.roles:
        allowed = ", ".join(sorted(route.roles))
        raise ForbiddenError(
            "role-not-allowed",
            f"Operator {operator.name} is a {operator.role}; {route.method} {route.path} is for: {allowed}.",
            "Ask an operator who has such a role.",
        )


async def _taken(request: web.Request, route: Route) -> Input:
    if not issubclass(route.takes, RequestBody):
        return read_query(request, route.takes)
    read_query(request, NoQuery)
    return await read_body(request, route.takes)
