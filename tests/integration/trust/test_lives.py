"""Certificates that end: renewed in time nothing shows, and what has ended is not believed for a moment longer.

Lives are shortened by the authority's own constants: certificates of seconds instead of days.
"""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from agent.control.membership import MembershipFolder
from coordinator.authority import certificates
from coordinator.domain import grants
from replikera.identity import Role
from replikera.lab.folder import SiteFolder
from tests.e2e.offline import source_states, verify
from tests.integration.trust.protecting import replicating
from tests.integration.trust.trusted_line import TrustedLine, join, join_both, until_connected

pytestmark = pytest.mark.timeout(300)

SHORT_LIFE = timedelta(seconds=5)
SHORT_GRANT = timedelta(seconds=12)
"""Long enough for an initial replication and two cycles on a busy machine."""

RENEWALS = 8


def give_hosts(monkeypatch: pytest.MonkeyPatch, life: timedelta) -> None:
    """Let host certificates that are issued from now on live that long."""
    monkeypatch.setitem(certificates.LEAF_LIVES, Role.HOST, life)
    # Backdated ones would be past half of so short a life when they are issued.
    monkeypatch.setattr(certificates, "BACKDATE", timedelta(0))


async def test_nothing_is_lost_while_certificates_are_renewed_under_a_live_stream(
    line: TrustedLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    give_hosts(monkeypatch, SHORT_LIFE)
    async with line.vault():
        await join_both(line)
        async with replicating(line):
            for site in (line.source, line.target):
                await line.until(f"{RENEWALS} renewals", partial(renewed, line, site))
            await line.until_new_points()
            reported = await line.points()
            assert reported == list(range(1, len(reported) + 1))
            assert (await line.protection())["state"] == "protected"
    (state,) = source_states(line.machine, line.folder)
    assert state.resync is None
    found = await verify(line.machine, line.folder, tmp_path / "recovered")
    assert found.problems == []
    assert found.points >= len(reported)
    assert found.compared == found.points


async def test_no_byte_of_an_expired_source_is_accepted_until_it_is_readmitted(
    line: TrustedLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as vault:
        await vault.enter_async_context(line.vault())
        await join(line, line.target)
        with monkeypatch.context() as shortened:
            give_hosts(shortened, SHORT_LIFE)
            await join(line, line.source)
            async with replicating(line):
                # While its vault is away the source cannot renew.
                await vault.aclose()
                await asyncio.sleep((not_after(line, line.source) - now()).total_seconds())
                assert await line.takes_nothing_more()
        await vault.enter_async_context(line.vault())
        await line.readmit(line.source)
        async with line.agent(line.source), line.agent(line.target), line.writing():
            await until_connected(line)
            await line.until_new_points()
            points = await line.points()
            assert points == list(range(1, len(points) + 1))
            assert (await line.protection())["state"] == "protected"


async def test_no_byte_is_accepted_under_an_ended_grant_until_there_is_a_new_one(
    line: TrustedLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as vault:
        await vault.enter_async_context(line.vault())
        await join_both(line)
        with monkeypatch.context() as shortened:
            shortened.setattr(grants, "LIFE", SHORT_GRANT)
            async with replicating(line):
                grant = (await line.protection())["grant"]
                await vault.aclose()
                ends = datetime.fromisoformat(grant["not_after"])
                await asyncio.sleep((ends - now()).total_seconds())
                assert await line.takes_nothing_more()
                shortened.undo()
                await vault.enter_async_context(line.vault())
                await line.until_new_points()
                points = await line.points()
                assert points == list(range(1, len(points) + 1))
                protection = await line.protection()
                assert protection["state"] == "protected"
                assert protection["grant"]["version"] > grant["version"]


async def renewed(line: TrustedLine, site: SiteFolder) -> bool:
    return len((await line.host(site))["certificates"]) > RENEWALS


def not_after(line: TrustedLine, site: SiteFolder) -> datetime:
    _, credentials = MembershipFolder(line.machine.files, site.state / "identity").load()
    return credentials.caller.not_after


def now() -> datetime:
    return datetime.now(UTC)
