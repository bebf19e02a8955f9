"""How far a command is with a disk: a bar at a terminal, nothing for logs and pipes."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from replikera.ports.clock import Clock


@contextmanager
def disk_progress(
    what: str, total: int, clock: Clock, console: Console | None = None
) -> Iterator[Callable[[int], None]]:
    """Give a function that takes the bytes done since its last call; they are `total` in the end.

    The bar goes to standard error unless told otherwise, and is gone when the work is done.
    """
    console = console or Console(file=sys.stderr, highlight=False)
    if not console.is_terminal:
        yield _nothing
        return
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        get_time=clock.monotonic,
    )
    bar = progress.add_task(what, total=total)
    with progress:
        yield lambda count: progress.advance(bar, count)


def _nothing(_count: int) -> None:
    return
