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
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = structlog.get_logger()


class BadRequestError(Exception):
    """The body of a request is not JSON."""


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as a problem."""
    try:
        return await handler(request)
    except (DomainError, StoreError) as error:
        return _respond(_domain_problem(error))
    except ValidationError as error:
        return _respond(_validation_problem(error))
    except BadRequestError as error:
        return _respond(
            _problem(HTTPStatus.BAD_REQUEST, "not-json", f"{error}", "Send a JSON object.")
        )
    except web.HTTPException as error:
        return _respond(_http_problem(error))
    except Exception:
        # The root of a request: whatever it is, this request fails loudly and the others go on.
        log.exception("request failed", method=request.method, path=request.path)
        return _respond(
            _problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "internal-error",
                "The vault failed.",
                "Look at the coordinator's log.",
            )
        )


def _respond(problem: Problem) -> web.Response:
    body = problem.model_dump_json(exclude_none=True)
    return web.Response(status=problem.status, body=body.encode(), content_type=CONTENT_TYPE)


def _domain_problem(error: DomainError | StoreError) -> Problem:
    errors = None
    if isinstance(error, InvalidValueError):
        errors = [FieldProblem(pointer=f"/{error.field}", detail=error.cause)]
    return _problem(_STATUSES[type(error)], error.code, error.cause, error.remedy, errors)


def _validation_problem(error: ValidationError) -> Problem:
    errors = [
        FieldProblem(pointer=_pointer(item["loc"]), detail=item["msg"])
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


def _pointer(location: Sequence[Any]) -> str:
    return "".join(f"/{part}" for part in location) or "/"
