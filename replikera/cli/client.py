"""Requests to the vault's REST API over mutual TLS."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeAlias
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from replikera.cli.broken_connections import hung_up, told
from replikera.cli.errors import AnswerError
from replikera.cli.invocation import Ports
from replikera.cli.problems import error_of, parse_answer
from replikera.cli.profile import Profile
from replikera.cli.repeating import until_answered
from replikera.tls import client_tls

API_PREFIX = "/api/v1"
REQUEST_TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""A page has at most 1,000 items, a status every protection: 100,000 of 600 bytes are 60 MiB."""

_CONNECT_TIMEOUT_S = 10.0
_KEY_HEADER = "Idempotency-Key"

Query: TypeAlias = Mapping[str, str | int | None]


class VaultClient:
    """One operator's connection to one vault. Only the vault that the profile names is talked to."""

    def __init__(
        self,
        profile: Profile,
        ports: Ports,
        *,
        request_timeout: float = REQUEST_TIMEOUT_S,
        answer_limit: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._profile = profile
        self._ports = ports
        self._answer_limit = answer_limit
        self._tls = client_tls(profile.credentials)
        self._patience_s = request_timeout
        self._timeout = self._timeouts(total=request_timeout)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=1),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json"},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    @property
    def profile(self) -> Profile:
        """Return the profile that this client shows."""
        return self._profile

    async def get(self, *path: str, query: Query | None = None) -> dict[str, object]:
        """Return the object at a path, given by its segments. Raises `CommandError`."""
        return parse_answer(await self._read("GET", self._url(path, query or {})))

    async def post(
        self, *path: str, body: Mapping[str, object], key: str | None = None
    ) -> dict[str, object]:
        """Send an object to a path and return the answer. Raises `CommandError`.

        Where the answer is lost the request is repeated under the same idempotency key, `key` or a new one: the
        vault acts on it once.
        """
        url = self._url(path, {})
        headers = {_KEY_HEADER: key or self._ports.randomness.uuid()}
        answer = await until_answered(
            self._ports.clock, lambda: self._read("POST", url, body, headers)
        )
        return parse_answer(answer)

    async def download(self, *path: str, sink: Callable[[bytes], None]) -> None:
        """Give the bytes at a path to `sink`, all of them unless this raises. Raises `CommandError`."""
        # As long as it takes while bytes come.
        timeout = self._timeouts(sock_read=self._patience_s)
        with told(self._profile, self._patience_s):
            async with self._answer("GET", self._url(path, {}), timeout=timeout) as response:
                done = 0
                async for chunk in response.content.iter_any():
                    sink(chunk)
                    done += len(chunk)
                if done != response.content_length:
                    raise hung_up(self._profile, "the answer is not whole")

    async def _read(
        self,
        method: str,
        url: URL,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        with told(self._profile, self._patience_s):
            async with self._answer(
                method, url, json=body, headers=headers, timeout=self._timeout
            ) as response:
                return await self._whole(response)

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        url: URL,
        *,
        timeout: aiohttp.ClientTimeout,
        json: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._session.request(
            method,
            url,
            json=json,
            headers=headers,
            timeout=timeout,
            server_hostname=self._profile.vault_dns_name,
            allow_redirects=False,
        ) as response:
            if not 200 <= response.status < 300:
                data = await self._whole(response)
                raise error_of(response.status, response.content_type, data)
            yield response

    async def _whole(self, response: aiohttp.ClientResponse) -> bytes:
        data = bytearray()
        async for chunk in response.content.iter_any():
            data += chunk
            if len(data) > self._answer_limit:
                raise AnswerError(
                    "answer-too-large",
                    f"The vault's answer is larger than {self._answer_limit} bytes",
                    "Check that api_address in the profile is the vault's API",
                )
        return bytes(data)

    def _timeouts(
        self, *, total: float | None = None, sock_read: float | None = None
    ) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(
            total=total,
            sock_read=sock_read,
            sock_connect=min(_CONNECT_TIMEOUT_S, self._patience_s),
        )

    def _url(self, path: tuple[str, ...], query: Query) -> URL:
        segments = "/".join(quote(segment, safe="") for segment in path)
        given = {name: value for name, value in query.items() if value is not None}
        address = f"https://{self._profile.api_address}{API_PREFIX}/{segments}"
        return URL(f"{address}?{urlencode(given)}" if given else address, encoded=True)
