"""Operators of a vault, and what its application answers them, without a network."""

import base64
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from coordinator.domain.operators import OperatorRole
from coordinator.orchestration.operators import create_operator
from coordinator.orchestration.vault import Vault
from coordinator.web.problems import problems
from coordinator.web.routes import application
from coordinator.web.table import PREFIX
from replikera.identity import Credentials, generate_private_key, signing_request
from tests.unit.coordinator.requests import body_of, request_of
from tests.unit.coordinator.vaults import BY_ANN


def signing_text(key: bytes) -> str:
    """Return a signing request as the API takes it."""
    return base64.b64encode(signing_request(key)).decode()


async def new_operator(vault: Vault, name: str, role: OperatorRole) -> Credentials:
    """Make an operator."""
    key = generate_private_key()
    made = await create_operator(vault, BY_ANN, name, role, signing_text(key))
    return Credentials(made.certificate.chain, key, vault.authority.root_certificate)


class Asking:
    """One operator who asks."""

    def __init__(self, vault: Vault, credentials: Credentials) -> None:
        self._app = application(vault)
        self.credentials = credentials

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        request = request_of(
            self.credentials, method, PREFIX + path, body, headers=dict(headers or {})
        )
        match = await self._app.router.resolve(request)
        match.add_app(self._app)
        request._match_info = match
        response = await problems(request, match.handler)
        assert isinstance(response, web.Response)
        return response

    async def get(self, path: str) -> Any:
        response = await self.ask("GET", path)
        assert response.status == 200, body_of(response)
        return body_of(response)

    async def post(self, path: str, body: object = None, **headers: str) -> Any:
        response = await self.ask("POST", path, body, headers)
        assert response.status in {200, 201, 202}, body_of(response)
        return body_of(response)

    async def refusal(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """Return status and code of the problem that is answered."""
        response = await self.ask(method, path, body)
        assert response.content_type == "application/problem+json", response.status
        return response.status, body_of(response)["code"]


async def asking(vault: Vault, name: str, role: OperatorRole) -> Asking:
    """Return a new operator who asks."""
    return Asking(vault, await new_operator(vault, name, role))
