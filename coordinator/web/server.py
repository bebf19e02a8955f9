"""The REST listener: mutual TLS on one address."""

from typing import Self

from aiohttp import web

from coordinator.orchestration.vault import Vault
from coordinator.web.routes import application
from replikera.identity import Credentials
from replikera.tls import server_tls

SHUTDOWN_SECONDS = 5.0


class ApiServer:
    """Serves operators from entering to leaving the context. `port` tells the one in use."""

    def __init__(self, vault: Vault, address: str, credentials: Credentials) -> None:
        self._address = address
        self._tls = server_tls(credentials)
        self._runner = web.AppRunner(
            application(vault), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS
        )
        self.port = 0

    async def __aenter__(self) -> Self:
        host, _, port = self._address.rpartition(":")
        await self._runner.setup()
        site = web.TCPSite(self._runner, host.strip("[]"), int(port), ssl_context=self._tls)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise OSError(f"cannot listen on {self._address}: {error}") from error
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._runner.cleanup()
