"""Child processes of this machine."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from replikera.ports.processes import Completed


class SystemProcesses:
    """Starts programs with `asyncio` and `subprocess`, never through a shell."""

    def __init__(self) -> None:
        self._detached: dict[int, subprocess.Popen[bytes]] = {}

    async def run(
        self, arguments: Sequence[str], *, standard_input: bytes = b"", timeout: float
    ) -> Completed:
        """Run to the end; a child that outlives `timeout` is killed and `TimeoutError` raised."""
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(timeout):
                output, errors = await process.communicate(standard_input)
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        return Completed(process.returncode or 0, output, errors)

    async def run_attached(self, arguments: Sequence[str]) -> int:
        """Run to the end with this process's own input and output; a cancelled caller waits for its end."""
        process = await asyncio.create_subprocess_exec(*arguments)
        try:
            return await process.wait()
        except BaseException:
            if process.returncode is None:
                process.terminate()
                await process.wait()
            raise

    def start_detached(
        self,
        arguments: Sequence[str],
        *,
        output: Path,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Start a process in a session of its own, its output appended to `output`."""
        with output.open("ab") as sink:
            process = subprocess.Popen(
                list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        self._detached[process.pid] = process
        return process.pid

    def terminate(self, process_id: int) -> None:
        """Ask a process to end."""
        self._signal(process_id, signal.SIGTERM)

    def kill(self, process_id: int) -> None:
        """End a process at once."""
        self._signal(process_id, signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)

    def is_alive(self, process_id: int) -> bool:
        """Tell whether a process with this id exists and has not ended."""
        child = self._detached.get(process_id)
        if child is not None:
            return child.poll() is None
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return not _is_zombie(process_id)

    def _signal(self, process_id: int, number: signal.Signals) -> None:
        child = self._detached.get(process_id)
        if child is not None:
            child.send_signal(number)
            return
        try:
            os.kill(process_id, number)
        except ProcessLookupError:
            return


def _is_zombie(process_id: int) -> bool:
    try:
        text = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] == "Z"
