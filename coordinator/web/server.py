"""The REST listener: mutual TLS on one address, with bounds on what a connection may cost."""

import ssl
from typing import Self

from aiohttp import web
from typing_extensions import override

from coordinator.orchestration.vault import Vault
from coordinator.web.door import Door
from coordinator.web.routes import application
from replikera.identity import CredentialsHolder
from replikera.tls import server_tls

SHUTDOWN_SECONDS = 5.0
IDLE_SECONDS = 75.0
MAX_LINE_BYTES = 8 * 1024
"""Of a request line and of one header; a cursor has at most 4 KiB."""

MAX_HEADERS = 64


class ApiServer:
    """Serves operators from entering to leaving the context. `port` tells the one in use."""

    def __init__(self, vault: Vault, address: str, holder: CredentialsHolder) -> None:
        self._address = address
        self._tls = server_tls(holder)
        self._runner = web.AppRunner(
            application(vault),
            access_log=None,
            shutdown_timeout=SHUTDOWN_SECONDS,
            keepalive_timeout=IDLE_SECONDS,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
            # A body is what it says it is: nothing of 64 KiB becomes gigabytes.
            auto_decompress=False,
        )
        self.port = 0

    async def __aenter__(self) -> Self:
        host, _, port = self._address.rpartition(":")
        await self._runner.setup()
        site = _Site(self._runner, host.strip("[]"), int(port), self._tls)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise OSError(f"cannot listen on {self._address}: {error}") from error
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._runner.cleanup()


class _Site(web.BaseSite):
    """A TCP listener like aiohttp's own, with a door that strangers have to get through."""

    def __init__(
        self, runner: web.AppRunner, host: str, port: int, context: ssl.SSLContext
    ) -> None:
        super().__init__(runner, ssl_context=context)
        self._context = context
        self._host = host
        self._port = port
        self._door: Door | None = None

    @property
    @override
    def name(self) -> str:
        return f"https://{self._host}:{self._port}"

    @override
    async def start(self) -> None:
        await super().start()
        protocols = self._runner.server
        if protocols is None:
            raise RuntimeError("the runner is not set up")
        self._door = Door(protocols, self._context)
        self._server = await self._door.listen(self._host, self._port, self._backlog)

    @override
    async def stop(self) -> None:
        await super().stop()
        if self._door is not None:
            self._door.close()
