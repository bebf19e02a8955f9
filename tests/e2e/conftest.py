from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.walk import Walk, walking


@pytest.fixture
async def walk(tmp_path: Path) -> AsyncIterator[Walk]:
    async with walking(tmp_path) as walk:
        yield walk
