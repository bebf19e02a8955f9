"""How a running job looks to the one who waits for it."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from typing_extensions import override

from replikera.cli.output import Output
from replikera.cli.records import Record, field, records
from replikera.cli.wording import duration, number, plain, printable, rate, size
from replikera.ports.clock import Clock


class JobDisplay(AbstractContextManager["JobDisplay"], Protocol):
    """Shows a job each time it was read anew."""

    def show(self, job: Record) -> None:
        """Show the job's present state."""


class LineDisplay(JobDisplay):
    """One line for each change of a task, for logs and pipes."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._seen: dict[str, object] = {}

    @override
    def show(self, job: Record) -> None:
        for task in records(job, "tasks"):
            name, state = plain(task.get("name")), task.get("state")
            if state != "waiting" and self._seen.get(name) != state:
                self._seen[name] = state
                self._write(_task_line(task))

    @override
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None


class BarDisplay(JobDisplay):
    """A bar that moves, for a person at a terminal."""

    def __init__(self, console: Console, clock: Clock) -> None:
        # Refreshed by hand: the figures change when the job is read, not in between.
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            console=console,
            auto_refresh=False,
            get_time=clock.monotonic,
        )
        self._bar = self._progress.add_task("", total=None, figures="")

    @override
    def __enter__(self) -> Self:
        self._progress.start()
        return self

    @override
    def show(self, job: Record) -> None:
        total = number(field(job, "progress", "total_bytes"))
        done = number(field(job, "progress", "done_bytes"))
        has_ended = job.get("state") == "succeeded"
        if has_ended:
            total, done = 1.0, 1.0
        self._progress.update(
            self._bar,
            description=_description(job),
            total=None if done is None else total,
            completed=done or 0.0,
            figures="" if has_ended else figures(job),
        )
        self._progress.refresh()

    @override
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()


def choose_display(output: Output, clock: Clock) -> JobDisplay:
    """Return the display that fits standard error."""
    if sys.stderr.isatty():
        return BarDisplay(Console(file=sys.stderr, highlight=False), clock)
    return LineDisplay(output.message)


def figures(job: Record) -> str:
    """Return bytes, rate and time left of a job; empty while it reports no progress."""
    done, total = (number(field(job, "progress", key)) for key in ("done_bytes", "total_bytes"))
    if done is None or total is None:
        return ""
    speed = number(field(job, "progress", "rate"))
    left = duration((total - done) / speed) if speed and total >= done else "unknown"
    return f"{size(done)} of {size(total)}  {rate(speed)}  {left} left"


def _description(job: Record) -> str:
    running = [task for task in records(job, "tasks") if task.get("state") == "running"]
    name = running[0].get("name") if running else job.get("state")
    return f"{plain(job.get('kind'))} {plain(job.get('subject'))}: {plain(name)}"


def _task_line(task: Record) -> str:
    line = f"{plain(task.get('name'))}: {plain(task.get('state'))}"
    detail = task.get("detail")
    return f"{line} ({printable(detail)})" if isinstance(detail, str) and detail else line
