import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coordinator.orchestration.vault import Vault
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.vaults import make_vault, opened


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(scope="session")
def new_vault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a vault that was just made, to be copied."""
    folder = tmp_path_factory.mktemp("new-vault")
    asyncio.run(make_vault(folder))
    return folder


@pytest.fixture
async def vault(new_vault: Path, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Vault]:
    shutil.copytree(new_vault, tmp_path, dirs_exist_ok=True)
    async with opened(tmp_path, clock) as started:
        yield started
