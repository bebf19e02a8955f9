"""The state that most tests begin in: vault and both agents run, the machine is protected and written to."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.integration.trust.trusted_line import TrustedLine, until_connected


@asynccontextmanager
async def replicating(line: TrustedLine) -> AsyncIterator[AsyncExitStack]:
    """Run the target's agent for the block, the source's too, and replicate; gives the stack of the target's agent.

    Closing that stack stops the target's agent alone.
    """
    async with line.agent(line.source), AsyncExitStack() as target:
        await target.enter_async_context(line.agent(line.target))
        await until_connected(line)
        await line.protect()
        async with line.writing():
            await line.until_new_points(2)
            yield target
