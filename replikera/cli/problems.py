"""The vault's refusals (RFC 9457 problem documents) as this program's errors."""

import json
from collections.abc import Mapping

from replikera.cli.errors import (
    AnswerError,
    AuthenticationError,
    CommandError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)

_KINDS: Mapping[int, type[CommandError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFoundError,
    409: ConflictError,
    412: ConflictError,
    422: InvalidRequestError,
    502: UnreachableError,
    503: UnreachableError,
    504: UnreachableError,
}
_PROBLEM_TYPE = "application/problem+json"


def error_of(status: int, content_type: str, body: bytes) -> CommandError:
    """Return the error that an answer with a status outside 200-299 stands for."""
    kind = _KINDS.get(status, RefusedError)
    document = _parse_problem(content_type, body)
    if document is None:
        return kind(
            f"http-{status}",
            f"The vault answered HTTP {status} without an explanation",
            "Look for this moment in the coordinator's log",
        )
    cause = _text(document, "detail") or _text(document, "title") or f"HTTP {status}"
    return kind(
        _text(document, "code") or f"http-{status}", cause, _text(document, "remedy"), document
    )


def parse_answer(body: bytes) -> dict[str, object]:
    """Return the JSON object of an answer. Raises `AnswerError`."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _not_understood(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _not_understood("not a JSON object")
    return document


def _not_understood(problem: str) -> AnswerError:
    return AnswerError(
        "answer-not-understood",
        f"The vault's answer is {problem}",
        "Use the same version of replikera here and on the coordinator, and check that api_address "
        "in the profile is the vault's API",
    )


def _parse_problem(content_type: str, body: bytes) -> dict[str, object] | None:
    if content_type != _PROBLEM_TYPE:
        return None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _text(document: Mapping[str, object], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""
