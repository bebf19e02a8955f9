"""How answers leave."""

from http import HTTPStatus

import structlog
from aiohttp import web
from pydantic import BaseModel

from coordinator.web.protection_answers import JobAnswer
from coordinator.web.table import PREFIX, Content

RETRY_SECONDS = 2
"""How often whoever follows a job should look at most."""

_SECURITY = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    # In place of the library's own with its version.
    "Server": "Replikera",
}

log = structlog.get_logger()


def answer(body: BaseModel, status: HTTPStatus) -> web.Response:
    """Return a body as JSON; of long work that has begun also where to follow it."""
    response = web.Response(
        status=status, body=body.model_dump_json().encode(), content_type="application/json"
    )
    if status is HTTPStatus.ACCEPTED and isinstance(body, JobAnswer):
        response.headers["Location"] = f"{PREFIX}/jobs/{body.id}"
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


async def stream(request: web.Request, content: Content) -> web.StreamResponse:
    """Send content as it is read. An error after the first byte ends the connection: the answer stays cut."""
    async with content.opening as opened:
        response = web.StreamResponse()
        response.content_type = content.content_type
        response.content_length = opened.size
        if opened.file_name is not None:
            response.headers["Content-Disposition"] = f'attachment; filename="{opened.file_name}"'
        await response.prepare(request)
        try:
            async for chunk in opened.chunks:
                await response.write(chunk)
            await response.write_eof()
        except Exception:
            # The root of this answer: its status has left already, only a cut connection tells of the failure.
            log.exception("answer cut", path=request.path)
            response.force_close()
            if request.transport is not None:
                request.transport.abort()
    return response


async def harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers that every answer has."""
    response.headers.update(_SECURITY)
