"""Reading bodies and writing answers."""

import json
from http import HTTPStatus
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel

from coordinator.web.models import JobAnswer, RequestBody
from coordinator.web.problems import BadRequestError

Body = TypeVar("Body", bound=RequestBody)


async def read_body(request: web.Request, kind: type[Body]) -> Body:
    """Return the request's body. Raises `ValidationError`, `BadRequestError`; an empty one is `{}`."""
    data = await request.read()
    try:
        document = json.loads(data or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadRequestError("The body is not JSON.") from error
    return kind.model_validate(document)


def answer(body: BaseModel, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Return a body as JSON."""
    return web.Response(
        status=status, body=body.model_dump_json().encode(), content_type="application/json"
    )


def accepted(job: JobAnswer) -> web.Response:
    """Return that long work has begun, and where to follow it."""
    response = answer(job, HTTPStatus.ACCEPTED)
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return response
