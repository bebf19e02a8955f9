"""A vault and two sites, founded and joined, nothing running."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from replikera.lab.machine import system_machine
from tests.integration.trust.trusted_line import TrustedLine, join_both, make_line


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[TrustedLine]:
    """Give a line of which nothing has joined and nothing runs."""
    with system_machine() as machine:
        line = await make_line(machine, tmp_path / "line")
        async with line.rest:
            yield line


@pytest.fixture
async def joined(line: TrustedLine) -> AsyncIterator[TrustedLine]:
    """Give a line whose vault runs and whose hosts have joined; its agents do not run."""
    async with line.vault():
        await join_both(line)
        yield line
