"""Taking a backup over REST, and restoring it on another machine."""

import asyncio
import shutil
from pathlib import Path

import aiohttp

from coordinator import daemon
from coordinator.orchestration.restore import restore_backup
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.workers import ThreadWorker
from replikera.tls import client_tls
from tests.integration.coordinator.running_vault import (
    SECONDS,
    RunningVault,
    machinery_with,
    settings_in,
)


async def download(vault: RunningVault, path: Path) -> Path:
    """Save a backup of the running vault."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session,
        session.get(
            f"https://127.0.0.1:{vault.ports.api}/api/v1/vault/backup",
            ssl=client_tls(vault.operator),
            server_hostname=vault.peer_name,
        ) as response,
    ):
        assert response.status == 200, await response.text()
        assert response.content_type == "application/x-tar"
        assert response.content_length is not None
        async for chunk in response.content.iter_chunked(1 << 20):
            SystemFiles().append(path, chunk)
    status = SystemFiles().status(path)
    assert status is not None
    assert status.size == response.content_length
    return path


async def restore_elsewhere(vault: RunningVault, path: Path) -> Path:
    """Restore a backup on another machine, to which passphrase and profile came by hand; return its folder."""
    folder = await asyncio.to_thread(_other_machine, vault.folder)
    worker = ThreadWorker("test", threads=1)
    try:
        machinery = machinery_with(SystemClock(), worker)
        await restore_backup(machinery, path, daemon.state_directory(settings_in(folder)))
    finally:
        worker.close()
    return folder


def _other_machine(folder: Path) -> Path:
    other = folder / "other machine"
    other.mkdir()
    shutil.copy(folder / "passphrase", other / "passphrase")
    shutil.copytree(folder / "profile", other / "profile")
    return other
