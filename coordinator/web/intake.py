"""What a request says: body, query parameters, and the key that makes a repetition recognisable."""

import asyncio
import hashlib
import json
import re
from typing import TypeVar

from aiohttp import web
from pydantic import ValidationError

from coordinator.domain.commands import Command, by_operator
from coordinator.domain.operators import Operator
from coordinator.web.models import Input, RequestBody
from coordinator.web.problems import BadRequestError, QueryError

BODY_SECONDS = 30.0
"""How long 64 KiB may take: a slower client holds a connection for nothing."""

KEY_HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e]{1,128}")

Body = TypeVar("Body", bound=RequestBody)
Asked = TypeVar("Asked", bound=Input)


async def wait_for_body(request: web.Request) -> None:
    """Return when the whole request is here: only then it is judged who asks, and what they may."""
    await _read(request)


async def read_body(request: web.Request, kind: type[Body]) -> Body:
    """Return the request's body. Raises `ValidationError`, `BadRequestError`; an empty one is `{}`."""
    data = await _read(request)
    try:
        document = json.loads(data or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadRequestError(
            "not-json", "The body is not JSON.", "Send a JSON object, not compressed."
        ) from error
    return kind.model_validate(document)


def read_query(request: web.Request, kind: type[Asked]) -> Asked:
    """Return the query parameters. Raises `QueryError`, `BadRequestError`."""
    given = request.query
    if len(given) != len(set(given)):
        raise BadRequestError(
            "parameter-repeated", "A query parameter is there twice.", "Give each one once."
        )
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        raise QueryError(error) from error


async def command_of(request: web.Request, operator: Operator) -> Command:
    """Return who asks for a change, and how the same request is recognised. Raises `BadRequestError`."""
    keys = request.headers.getall(KEY_HEADER, [])
    if not keys:
        return by_operator(operator.name)
    if len(keys) > 1 or _KEY.fullmatch(keys[0]) is None:
        raise BadRequestError(
            "invalid-idempotency-key",
            f"The header {KEY_HEADER} does not hold one key.",
            "Use 1 to 128 visible ASCII characters without blanks, as a UUID has.",
        )
    asked = f"{request.method} {request.raw_path}\n".encode() + await _read(request)
    return by_operator(operator.name, keys[0], hashlib.sha256(asked).digest())


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout from error
