import asyncio

import pytest

from coordinator.orchestration.vault import Vault
from coordinator.web.server import ApiServer
from replikera.identity import CredentialsHolder, Role
from tests.unit.coordinator.calls import credentials


async def test_a_free_port_is_told_and_given_back(vault: Vault) -> None:
    own = CredentialsHolder(credentials(Role.VAULT, "v-1", "v-1"))
    async with ApiServer(vault, "127.0.0.1:0", own) as server:
        port = server.port
        assert port > 0
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with ApiServer(vault, f"127.0.0.1:{port}", own):
                pass
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
