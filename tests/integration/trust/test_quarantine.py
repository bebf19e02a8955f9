"""A host of which there are two: neither is believed until an operator readmits one."""

import shutil
from pathlib import Path

import pytest

from agent.config import AgentSettings
from replikera.lab.folder import SiteFolder
from tests.integration.trust.protecting import replicating
from tests.integration.trust.trusted_line import TrustedLine, twin_of, until_connected

pytestmark = pytest.mark.timeout(240)


async def test_a_copied_host_quarantines_both_until_one_is_readmitted(
    joined: TrustedLine, tmp_path: Path
) -> None:
    line = joined
    async with replicating(line):
        twin = copied(line, line.target, tmp_path / "twin")
        async with line.agent(line.target, twin):
            await line.until_state(line.target, "quarantined")
            assert await line.takes_nothing_more()
        assert (await line.host(line.target))["cause"]
    before = await line.points()
    await line.readmit(line.target)
    async with line.agent(line.source), line.agent(line.target), line.writing():
        await until_connected(line)
        await line.until_new_points()
        after = await line.points()
        assert after == list(range(1, len(after) + 1))
        assert len(after) > len(before)
        assert (await line.protection())["state"] == "protected"
        # The copy still has what it was given then: it is refused, and does the readmitted one no harm.
        async with line.agent(line.target, twin):
            await line.until_new_points()
            assert (await line.host(line.target))["state"] == "connected"


async def test_a_point_that_a_whole_copy_got_in_is_not_passed_over(
    joined: TrustedLine, tmp_path: Path
) -> None:
    line = joined
    async with replicating(line):
        twin = copied(line, line.source, tmp_path / "twin")
        async with line.agent(line.source, twin):
            await line.until_state(line.source, "quarantined")
            assert await line.takes_nothing_more()
    await line.readmit(line.source)
    async with line.agent(line.source), line.agent(line.target), line.writing():
        await until_connected(line)

        async def is_told() -> bool:
            return bool((await line.protection())["state"] == "resync-required")

        await line.until("the demand for a resync", is_told)
        assert (await line.protection())["health"] == "critical"


def copied(line: TrustedLine, site: SiteFolder, folder: Path) -> AgentSettings:
    """Return the settings of the agent of a copy of a whole host, machines and all."""
    copy(site.root, folder)
    return twin_of(line, site, folder)


def copy(source: Path, target: Path) -> None:
    """Copy a folder in which an agent works: what is gone before it was copied is left out.

    So are kept views, which no work needs: a view that moves there meanwhile would be copied twice.
    """
    try:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("kept-views"))
    except shutil.Error as error:
        (failures,) = error.args
        assert all("No such file" in why for _, _, why in failures)
