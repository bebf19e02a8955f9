import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from replikera.system.workers import ThreadWorker
from tests.integration.coordinator.running_vault import RunningVault, make_vault, running

AGENT = Path(sys.executable).parent / "replikera-agent"


@pytest.fixture
async def vault(tmp_path: Path) -> AsyncIterator[RunningVault]:
    folder = tmp_path / "vault"
    folder.mkdir()
    await make_vault(folder)
    async with running(folder) as started:
        yield started


@pytest.fixture
def worker() -> Iterator[ThreadWorker]:
    threads = ThreadWorker("test", threads=1)
    yield threads
    threads.close()
