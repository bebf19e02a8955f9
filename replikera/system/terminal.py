"""Child processes that share this process's standard error."""

import asyncio
import os
from collections.abc import Mapping, Sequence

from replikera.ports.processes import Completed


class SystemTerminal:
    """Starts programs with `asyncio`, never through a shell."""

    async def run(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], timeout: float
    ) -> Completed:
        """Run to the end; a child that outlives `timeout` is killed and `TimeoutError` raised."""
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **environment},
        )
        try:
            async with asyncio.timeout(timeout):
                output, _ = await process.communicate()
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        return Completed(process.returncode or 0, output, b"")
