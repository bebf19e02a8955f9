import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.coordinator.running_vault import RunningVault, make_vault, running


@pytest.fixture(scope="session")
def new_vault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a vault that was just made, to be copied."""
    folder = tmp_path_factory.mktemp("new-vault")
    asyncio.run(make_vault(folder))
    return folder


@pytest.fixture
def vault_folder(new_vault: Path, tmp_path: Path) -> Path:
    shutil.copytree(new_vault, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
async def vault(vault_folder: Path) -> AsyncIterator[RunningVault]:
    async with running(vault_folder) as started:
        yield started
