"""Programs run for a person who watches, as the code sees them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from replikera.ports.processes import Completed


class Terminal(Protocol):
    """Runs programs whose messages and progress bars go where this process's own go."""

    async def run(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], timeout: float
    ) -> Completed:
        """Run to the end, standard output captured, standard error shown, standard input empty.

        `environment` is added to this process's own. Raises `TimeoutError` (the child is killed first) and
        `FileNotFoundError`.
        """
