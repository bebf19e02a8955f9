"""A REST server that answers what a test tells it to, and remembers what it was asked."""

import json
import ssl
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


@dataclass
class FakeVault:
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    answers: dict[tuple[str, str], list[Answer | None]] = field(default_factory=dict)
    address: str = ""

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
        self.answers[method, f"/api/v1{path}"] = [*[None] * times, last]

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        path = request.raw_path
        self.requests.append((request.method, path, json.loads(text) if text else None))
        queue = self.answers.get((request.method, path))
        if queue is None:
            return web.Response(status=501, text=f"the test has no answer for {path}")
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            raise web.HTTPInternalServerError
        return web.Response(
            status=answer.status,
            body=answer.body,
            content_type=answer.content_type,
            headers={"Location": answer.location} if answer.location else None,
        )

    async def start(self, authority: Authority) -> TestServer:
        return await self.start_with(server_tls(authority.issue(Role.VAULT, VAULT_ID)))

    async def start_with(self, tls: ssl.SSLContext) -> TestServer:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.handle)
        server = TestServer(application, scheme="https", host="127.0.0.1")
        await server.start_server(ssl=tls)
        self.address = f"127.0.0.1:{server.port}"
        return server
