from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from coordinator.domain.jobs import JobKind, JobState
from coordinator.web.models import Answer
from coordinator.web.protection_answers import JobAnswer
from coordinator.web.responses import answer, harden, stream
from coordinator.web.table import Content, Opened
from tests.unit.coordinator.examples import NOW
from tests.unit.coordinator.requests import body_of

JOB = JobAnswer(
    id="j",
    kind=JobKind.ENABLE_PROTECTION,
    subject="web",
    protection_id="p",
    state=JobState.RUNNING,
    tasks=[],
    cause=None,
    remedy=None,
    created_at=NOW,
    cancel_requested_at=None,
    finished_at=None,
    progress=None,
    result=None,
    allowed_actions=[],
)


def content(*chunks: bytes, size: int, breaks: bool = False) -> Content:
    async def each() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        if breaks:
            raise OSError("gone")

    @asynccontextmanager
    async def opened() -> AsyncIterator[Opened]:
        yield Opened(size, each(), "home.tar")

    return Content("application/x-tar", opened())


def test_an_answer_keeps_what_is_unknown_and_writes_times_in_utc() -> None:
    document = body_of(answer(JOB, HTTPStatus.OK))
    assert document["finished_at"] is None
    assert document["created_at"] == "2026-03-01T12:00:00.123456Z"
    assert document["kind"] == "enable-protection"


def test_long_work_says_where_and_when_to_follow_it() -> None:
    response = answer(JOB, HTTPStatus.ACCEPTED)
    assert (response.status, response.headers["Location"]) == (202, "/api/v1/jobs/j")
    assert int(response.headers["Retry-After"]) > 0
    assert "Location" not in answer(JOB, HTTPStatus.OK).headers
    assert answer(Answer(), HTTPStatus.CREATED).status == 201


async def served(made: Content) -> TestClient[web.Request, web.Application]:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await stream(request, made)

    app = web.Application()
    app.on_response_prepare.append(harden)
    app.router.add_get("/", handler)
    return TestClient(TestServer(app))


async def test_content_is_streamed_with_its_length_and_never_stored() -> None:
    async with await served(content(b"ab", b"cde", size=5)) as client:
        response = await client.get("/")
        assert await response.read() == b"abcde"
    assert (response.content_type, response.content_length) == ("application/x-tar", 5)
    assert response.headers["Content-Disposition"] == 'attachment; filename="home.tar"'
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_an_error_in_the_middle_cuts_the_answer() -> None:
    async with await served(content(b"ab", size=5, breaks=True)) as client:
        with pytest.raises(Exception, match="payload|disconnected|reset|[Cc]onnection"):
            await (await client.get("/")).read()
