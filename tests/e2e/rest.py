"""An operator's REST requests to a vault that is killed now and then: repeated until an answer comes."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import aiohttp

from replikera.cli.profile import load_profile
from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.tls import client_tls

PATIENCE_S = 60.0
"""How long the vault may stay without an answer; a killed coordinator is back within seconds."""

_REQUEST_S = 15.0
_PAUSE_S = 0.2
_PAGE = 200
_PREFIX = "/api/v1"


class RefusedRequestError(Exception):
    """The vault answered, and refused."""


@dataclass
class Tally:
    """How the requests that change something went."""

    keys: int = 0
    broken: int = 0
    """Requests whose answer did not come: the connection was cut by a kill, or dropped here."""

    answers: dict[str, str] = field(default_factory=dict)
    """By idempotency key, the id of the object that was answered."""

    problems: list[str] = field(default_factory=list)


class Rest:
    """One operator. Every POST carries a key of its own, which all its repetitions share."""

    def __init__(
        self,
        files: Files,
        clock: Clock,
        profile: Path,
        chance: random.Random,
        *,
        mischief: float = 0.0,
    ) -> None:
        """`mischief` is the share of POSTs whose answer is thrown away, and of those that are repeated for nothing."""
        loaded = load_profile(files, profile, clock.now())
        self._base = f"https://{loaded.api_address}{_PREFIX}"
        self._peer = loaded.vault_dns_name
        self._tls = client_tls(loaded.credentials)
        self._clock = clock
        self._chance = chance
        self._mischief = mischief
        self.tally = Tally()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            # A connection a request: none outlives the coordinator that it leads to.
            connector=aiohttp.TCPConnector(ssl=self._tls, force_close=True),
            timeout=aiohttp.ClientTimeout(total=_REQUEST_S),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get(self, path: str) -> dict[str, Any]:
        """Return the object at a path."""
        return await self._until_answered("GET", path, None, {})

    async def paths(self) -> set[str]:
        """Return the paths that the vault's interface has."""
        document = await self.get("/openapi.json")
        return {path.removeprefix(_PREFIX) for path in document["paths"]}

    async def everything(self, path: str) -> list[dict[str, Any]]:
        """Return a list with all its pages."""
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            more = f"&cursor={cursor}" if cursor else ""
            page = await self.get(f"{path}?limit={_PAGE}{more}")
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    async def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Return what a request made; now and then its answer is thrown away and asked for again."""
        key = str(UUID(int=self._chance.getrandbits(128)))
        self.tally.keys += 1
        headers = {"Idempotency-Key": key}
        if self._chance.random() < self._mischief:
            await self._drop_answer(path, body, headers)
        answer = await self._until_answered("POST", path, body, headers)
        if self._chance.random() < self._mischief:
            again = await self._until_answered("POST", path, body, headers)
            self._check_same(path, answer, again)
        if "id" in answer:
            self.tally.answers[key] = answer["id"]
        return answer

    def _check_same(self, path: str, first: dict[str, Any], second: dict[str, Any]) -> None:
        if first["id"] != second["id"]:
            problem = f"POST {path} answered {first['id']}, and repeated {second['id']}"
            self.tally.problems.append(problem)

    async def _drop_answer(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> None:
        """Send a request, and hang up before or while it is answered."""
        try:
            async with asyncio.timeout(self._chance.uniform(0.0, 0.06)):
                await self._request("POST", path, body, headers)
        except (TimeoutError, aiohttp.ClientError, OSError):
            self.tally.broken += 1

    async def _until_answered(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        headers: Mapping[str, str],
    ) -> dict[str, Any]:
        deadline = self._clock.monotonic() + PATIENCE_S
        while True:
            try:
                return await self._request(method, path, body, headers)
            except (TimeoutError, aiohttp.ClientError, OSError):
                if method == "POST":
                    self.tally.broken += 1
                if self._clock.monotonic() > deadline:
                    raise
            await self._clock.sleep(_PAUSE_S)

    async def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        headers: Mapping[str, str],
    ) -> dict[str, Any]:
        async with self._session.request(
            method,
            self._base + path,
            json=body,
            headers=headers,
            server_hostname=self._peer,
            allow_redirects=False,
        ) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            if not 200 <= response.status < 300:
                raise RefusedRequestError(f"{method} {path}: {response.status} {answer}")
            return answer
