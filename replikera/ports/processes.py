"""Child processes, as the code sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Completed:
    """How a child process ended: its exit code (negative: the signal) and what it wrote."""

    exit_code: int
    output: bytes
    errors: bytes


class Processes(Protocol):
    """Starts programs by argument list; never through a shell."""

    async def run(
        self, arguments: Sequence[str], *, standard_input: bytes = b"", timeout: float
    ) -> Completed:
        """Run to the end.

        Raises `TimeoutError` (the child is killed first) and `FileNotFoundError`.
        """

    async def run_attached(self, arguments: Sequence[str]) -> int:
        """Run to the end with this process's own input and output; return the exit code (negative: the signal).

        Raises `FileNotFoundError`. A cancelled caller asks the child to end, and waits for that.
        """

    def start_detached(
        self,
        arguments: Sequence[str],
        *,
        output: Path,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Start a process that outlives this one, its output appended to `output`; return its id.

        `environment` is added to this process's own.
        """

    def terminate(self, process_id: int) -> None:
        """Ask a process to end; a process that is gone already is no error."""

    def kill(self, process_id: int) -> None:
        """End a process at once; a process that is gone already is no error."""

    def is_alive(self, process_id: int) -> bool:
        """Tell whether a process with this id exists and has not ended."""
