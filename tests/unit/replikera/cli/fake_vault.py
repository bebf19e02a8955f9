"""A REST server that answers what a test tells it to, and remembers what it was asked."""

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from replikera.identity import Role
from replikera.tls import server_tls
from tests.support.authority import VAULT_ID, Authority


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    content_type: str = "application/json"
    location: str = ""


@dataclass(frozen=True)
class Cut:
    """No answer: the connection breaks after so many bytes of one."""

    after: bytes = b""


@dataclass(frozen=True)
class Deed:
    """Something done once an idempotency key, from the body of a request; the answer may be lost."""

    make: Callable[[Any], object]
    is_told: bool = True


@dataclass
class FakeVault:
    """`requests` are method, path and body; `queries` and `keys` what else was sent with them."""

    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    answers: dict[tuple[str, str], list[Answer | Cut | Deed]] = field(default_factory=dict)
    address: str = ""
    acted: dict[str | None, object] = field(default_factory=dict)
    """By idempotency key what was done; once for each."""

    def says(self, method: str, path: str, *documents: object, status: int = 200) -> None:
        """Answer these documents in turn, the last one for ever after."""
        self.answers[method, f"/api/v1{path}"] = [
            Answer(status, json.dumps(document).encode()) for document in documents
        ]

    def refuses(self, method: str, path: str, status: int, **document: object) -> None:
        problem = {"type": "about:blank", "title": "refused", "status": status, **document}
        self.answers[method, f"/api/v1{path}"] = [
            Answer(status, json.dumps(problem).encode(), "application/problem+json")
        ]

    def blurts(self, method: str, path: str, answer: Answer) -> None:
        self.answers[method, f"/api/v1{path}"] = [answer]

    def hangs_up_before(self, method: str, path: str, document: object, times: int) -> None:
        """Break the connection so many times, then answer."""
        last = Answer(200, json.dumps(document).encode())
        self.answers[method, f"/api/v1{path}"] = [*[Cut()] * times, last]

    def acts(
        self, method: str, path: str, make: Callable[[Any], object], *, loses_answers: int = 0
    ) -> None:
        """Do something once a key and answer what came of it; break the connection so many times instead."""
        lost = [Deed(make, is_told=False)] * loses_answers
        self.answers[method, f"/api/v1{path}"] = [*lost, Deed(make)]

    def breaks_off(self, method: str, path: str, after: bytes) -> None:
        self.answers[method, f"/api/v1{path}"] = [Cut(after)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        path = request.raw_path.partition("?")[0]
        self.requests.append((request.method, path, json.loads(text) if text else None))
        self.queries.append(dict(request.query))
        self.keys.append(request.headers.get("Idempotency-Key"))
        queue = self.answers.get((request.method, path))
        if queue is None:
            return web.Response(status=501, text=f"the test has no answer for {path}")
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, Deed):
            answer = self._done(answer)
        if isinstance(answer, Cut):
            return await _break_off(request, answer)
        return web.Response(
            status=answer.status,
            body=answer.body,
            content_type=answer.content_type,
            headers={"Location": answer.location} if answer.location else None,
        )

    def _done(self, deed: Deed) -> Answer | Cut:
        key, body = self.keys[-1], self.requests[-1][2]
        if key not in self.acted:
            self.acted[key] = deed.make(body)
        return Answer(201, json.dumps(self.acted[key]).encode()) if deed.is_told else Cut()

    async def start(self, authority: Authority) -> TestServer:
        return await self.start_with(server_tls(authority.holder(Role.VAULT, VAULT_ID)))

    async def start_with(self, tls: ssl.SSLContext) -> TestServer:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.handle)
        server = TestServer(application, scheme="https", host="127.0.0.1")
        await server.start_server(ssl=tls)
        self.address = f"127.0.0.1:{server.port}"
        return server


async def _break_off(request: web.Request, cut: Cut) -> web.StreamResponse:
    assert request.transport is not None
    if cut.after:
        response = web.StreamResponse()
        response.content_length = len(cut.after) + 1
        await response.prepare(request)
        await response.write(cut.after)
    request.transport.abort()
    raise web.HTTPInternalServerError
