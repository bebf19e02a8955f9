"""Requests to the vault's REST API over mutual TLS."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from replikera.cli.errors import AnswerError, AuthenticationError, CommandError, UnreachableError
from replikera.cli.problems import error_of, parse_answer
from replikera.cli.profile import Profile
from replikera.tls import client_tls

API_PREFIX = "/api/v1"
REQUEST_TIMEOUT_S = 30.0
_CONNECT_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""A month of points every 5 seconds is 520,000; at 120 bytes each they are 60 MiB."""


class VaultClient:
    """One operator's connection to one vault. Only the vault that the profile names is talked to."""

    def __init__(
        self,
        profile: Profile,
        *,
        request_timeout: float = REQUEST_TIMEOUT_S,
        answer_limit: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._profile = profile
        self._answer_limit = answer_limit
        self._tls = client_tls(profile.credentials)
        self._timeout = aiohttp.ClientTimeout(
            total=request_timeout, sock_connect=min(_CONNECT_TIMEOUT_S, request_timeout)
        )

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=1),
            timeout=self._timeout,
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

    async def get(self, *path: str) -> dict[str, object]:
        """Return the object at a path, given by its segments. Raises `CommandError`."""
        return await self._request("GET", path, None)

    async def post(self, *path: str, body: Mapping[str, object]) -> dict[str, object]:
        """Send an object to a path and return the answer. Raises `CommandError`."""
        return await self._request("POST", path, body)

    async def _request(
        self, method: str, path: tuple[str, ...], body: Mapping[str, object] | None
    ) -> dict[str, object]:
        address = self._profile.api_address
        try:
            async with self._session.request(
                method,
                self._url(path),
                json=body,
                server_hostname=self._profile.vault_dns_name,
                allow_redirects=False,
            ) as response:
                data = await self._read(response)
                if 200 <= response.status < 300:
                    return parse_answer(data)
                raise error_of(response.status, response.content_type, data)
        except TimeoutError as error:
            raise UnreachableError(
                "vault-silent",
                f"The vault at {address} did not answer within {self._timeout.total:g} seconds",
                "Check the network, and the coordinator's log",
            ) from error
        except aiohttp.ClientError as error:
            raise self._connection_error(error) from error

    def _url(self, path: tuple[str, ...]) -> URL:
        segments = "/".join(quote(segment, safe="") for segment in path)
        return URL(f"https://{self._profile.api_address}{API_PREFIX}/{segments}", encoded=True)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
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

    def _connection_error(self, error: Exception) -> CommandError:
        address = self._profile.api_address
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return AuthenticationError(
                "vault-not-trusted",
                f"What answers at {address} did not prove to be vault {self._profile.vault_id}",
                "Check api_address in the profile; if the vault was made anew, use the profile of the "
                "new one",
            )
        if not isinstance(error, aiohttp.ClientConnectorError):
            return UnreachableError(
                "vault-hung-up",
                f"The vault at {address} ended the connection without an answer: {_reason(error)}",
                "It may be restarting: try again. If that does not help, the coordinator's log says "
                f"whether it refuses the certificate in {self._profile.folder}",
            )
        return UnreachableError(
            "vault-unreachable",
            f"No vault answers at {address}: {_reason(error)}",
            "Check that the coordinator runs, and api_address in "
            f"{self._profile.folder / 'profile.json'}",
        )


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", None)
    text = getattr(cause, "strerror", None) or str(error)
    return text or type(error).__name__
