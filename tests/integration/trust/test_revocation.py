"""What is withdrawn ends at once, at hosts that are there and at hosts that were away."""

import pytest

from replikera.lab.settings_files import host_name
from tests.integration.trust.protecting import replicating
from tests.integration.trust.trusted_line import TrustedLine, until_connected

pytestmark = pytest.mark.timeout(240)


async def test_no_byte_of_a_revoked_source_is_accepted(joined: TrustedLine) -> None:
    line = joined
    async with replicating(line):
        await revoke(line, host_name(line.source))
        assert await line.takes_nothing_more()
        assert (await line.host(line.source))["state"] == "revoked"
        assert (await line.host(line.target))["state"] == "connected"


async def test_no_byte_is_sent_to_a_revoked_target(joined: TrustedLine) -> None:
    line = joined
    async with replicating(line):
        await revoke(line, host_name(line.target))
        assert await line.takes_nothing_more()
        assert (await line.host(line.target))["state"] == "revoked"
        assert (await line.host(line.source))["state"] == "connected"


async def test_a_host_that_was_away_obeys_the_deny_list_as_soon_as_it_is_back(
    joined: TrustedLine,
) -> None:
    line = joined
    async with replicating(line) as target:
        await target.aclose()
        await line.until_state(line.target, "disconnected")
        version = (await line.host(line.target))["deny_list_version"]
        await revoke(line, host_name(line.source))
        async with line.agent(line.target):

            async def is_told() -> bool:
                return bool((await line.host(line.target))["deny_list_version"] > version)

            await line.until("the deny-list at the target", is_told)
            assert await line.takes_nothing_more()


async def test_a_readmitted_source_goes_on_without_a_resync(joined: TrustedLine) -> None:
    line = joined
    async with replicating(line):
        pass
    before = await line.points()
    await revoke(line, host_name(line.source))
    await line.readmit(line.source)
    async with line.agent(line.source), line.agent(line.target), line.writing():
        await until_connected(line)
        await line.until_new_points()
        after = await line.points()
    protection = await line.protection()
    assert after == list(range(1, len(after) + 1))
    assert len(after) > len(before)
    assert protection["state"] == "protected"


async def revoke(line: TrustedLine, name: str) -> None:
    answer = await line.rest.post(f"/hosts/{name}/revoke", {"reason": "stolen"})
    assert answer["state"] == "revoked"
