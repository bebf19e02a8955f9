"""Threads for blocking work, as the code sees them."""

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Worker(Protocol):
    """Runs blocking calls away from the event loop; one a storage volume or another blocking resource."""

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function` returns.

        A cancelled caller waits until the running call has ended, and then raises `CancelledError`: a thread
        cannot be stopped, and nobody may believe that its effect will not happen.
        """
