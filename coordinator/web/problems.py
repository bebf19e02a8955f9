"""Errors as `application/problem+json`, made in one place."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web
from pydantic import ValidationError

from coordinator.domain.errors import (
    DomainError,
    ForbiddenError,
    IllegalTransitionError,
    InvalidValueError,
    KeyRefusedError,
    RefusedError,
    UnknownObjectError,
)
from coordinator.store.errors import StoreError
from coordinator.web.models import FieldProblem, Problem

CONTENT_TYPE = "application/problem+json"
_STATUSES: dict[type[Exception], HTTPStatus] = {
    UnknownObjectError: HTTPStatus.NOT_FOUND,
    IllegalTransitionError: HTTPStatus.CONFLICT,
    InvalidValueError: HTTPStatus.UNPROCESSABLE_ENTITY,
    RefusedError: HTTPStatus.CONFLICT,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    KeyRefusedError: HTTPStatus.UNAUTHORIZED,
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
}
_HTTP_CODES = {
    HTTPStatus.NOT_FOUND: ("unknown-path", "See the paths of this version: docs/rest.md."),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "method-not-allowed",
        "See the methods of this path: docs/rest.md.",
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("body-too-large", "Send at most 64 KiB."),
    HTTPStatus.REQUEST_TIMEOUT: ("body-too-slow", "Send the whole body at once."),
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = structlog.get_logger()


class BadRequestError(Exception):
    """A request that cannot be read."""

    def __init__(self, code: str, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.code = code
        self.cause = cause
        self.remedy = remedy


class QueryError(Exception):
    """The query parameters of a request are not those of its path."""

    def __init__(self, error: ValidationError) -> None:
        super().__init__(f"{error}")
        self.error = error


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as a problem."""
    try:
        return await handler(request)
    except Exception as error:
        problem = _told(error)
        if problem is None:
            log.exception("request failed", method=request.method, path=request.path)
            problem = _INTERNAL
        return _respond(problem)


def _told(error: Exception) -> Problem | None:
    """Return what is said of an error, None for one that nobody expected."""
    match error:
        case DomainError() | StoreError():
            return _domain_problem(error)
        case ValidationError():
            return _validation_problem(error)
        case QueryError():
            return _validation_problem(error.error, "?")
        case BadRequestError():
            return _problem(HTTPStatus.BAD_REQUEST, error.code, error.cause, error.remedy)
        case web.HTTPException():
            return _http_problem(error)
        case _:
            return None


def _respond(problem: Problem) -> web.Response:
    body = problem.model_dump_json(exclude_none=True)
    return web.Response(status=problem.status, body=body.encode(), content_type=CONTENT_TYPE)


def _domain_problem(error: DomainError | StoreError) -> Problem:
    errors = None
    if isinstance(error, InvalidValueError):
        errors = [FieldProblem(pointer=f"/{error.field}", detail=error.cause)]
    return _problem(_STATUSES[type(error)], error.code, error.cause, error.remedy, errors)


def _validation_problem(error: ValidationError, mark: str = "/") -> Problem:
    errors = [
        FieldProblem(pointer=_pointer(item["loc"], mark), detail=item["msg"])
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    named = ", ".join(sorted({item.pointer for item in errors}))
    return _problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid-request",
        f"The request has {len(errors)} invalid values ({named}).",
        "Correct what `errors` names and send it again.",
        errors,
    )


def _http_problem(error: web.HTTPException) -> Problem:
    status = HTTPStatus(error.status)
    code, remedy = _HTTP_CODES.get(status, ("http-error", "See docs/rest.md."))
    return _problem(status, code, f"{status.phrase}.", remedy)


def _problem(
    status: HTTPStatus,
    code: str,
    cause: str,
    remedy: str,
    errors: list[FieldProblem] | None = None,
) -> Problem:
    return Problem(
        type=f"urn:replikera:problem:{code}",
        title=code.replace("-", " ").capitalize(),
        status=status,
        detail=cause,
        code=code,
        remedy=remedy,
        errors=errors,
    )


def _pointer(location: Sequence[Any], mark: str) -> str:
    return "".join(f"{mark}{part}" for part in location) or mark


_INTERNAL = _problem(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal-error",
    "The vault failed.",
    "Look at the coordinator's log.",
)
