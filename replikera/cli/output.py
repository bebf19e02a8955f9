"""Where output goes: answers to standard output, everything else to standard error.

With `-o json` and `-o yaml` standard output holds one document, with `--watch` one a look, and standard error nothing
but the problem document of a failure (and, on a terminal, a progress bar).
"""

import sys
from collections.abc import Callable, Sequence

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from replikera.cli.documents import dump
from replikera.cli.invocation import OutputFormat, invocation_of
from replikera.cli.wording import plain

_UNBOUNDED_COLUMNS = 10_000
"""Width for a pipe: a program behind it must see whole values."""

_STYLES = {
    "healthy": "green",
    "connected": "green",
    "protected": "green",
    "succeeded": "green",
    "serving": "green",
    "active": "green",
    "warning": "yellow",
    "paused": "yellow",
    "resynchronizing": "yellow",
    "disabling": "yellow",
    "reconciling": "yellow",
    "critical": "bold red",
    "failed": "bold red",
    "disconnected": "bold red",
    "quarantined": "bold red",
    "resync-required": "bold red",
    "revoked": "dim",
    "retired": "dim",
    "unknown": "dim",
}


class Output:
    """The two streams of one command; `is_watching` says that more than one answer comes."""

    def __init__(self, output_format: OutputFormat, *, is_watching: bool = False) -> None:
        self._format = output_format
        self._is_watching = is_watching

    @property
    def is_for_programs(self) -> bool:
        """Tell whether a program reads standard output."""
        return self._format.is_for_programs

    def begin_look(self, *, is_first: bool) -> None:
        """Make room for another answer: on a terminal in the place of the one before."""
        if self.is_for_programs:
            return
        console = console_on_stdout()
        if console.is_terminal:
            console.clear()
        elif not is_first:
            typer.echo("")

    def answer(self, document: object, render: Callable[[], RenderableType]) -> None:
        """Write what was asked for: the document as it is, or what `render` makes of it for people."""
        if self.is_for_programs:
            self._document(document)
        else:
            console_on_stdout().print(render())

    def line(self, document: object, text: str) -> None:
        """Write the document, or one line that can be piped as it is."""
        if self.is_for_programs:
            self._document(document)
        else:
            typer.echo(text)

    def message(self, text: str) -> None:
        """Tell a person something."""
        if not self.is_for_programs:
            typer.echo(text, err=True)

    def warning(self, text: str) -> None:
        """Tell a person what is not well, but hinders nothing now."""
        self.message(f"warning: {text}")

    def next(self, command: str) -> None:
        """Tell a person what to do next; one who watches is busy."""
        if not self._is_watching:
            self.message(f"next: {command}")

    def _document(self, document: object) -> None:
        typer.echo(dump(document, self._format, is_one_of_many=self._is_watching))


def output_of(context: typer.Context) -> Output:
    """Return the output of the command that `context` belongs to."""
    invocation = invocation_of(context)
    return Output(invocation.output_format, is_watching=invocation.watch_seconds is not None)


def console_on_stdout() -> Console:
    """Return a console for answers: colours only on a terminal, and not where NO_COLOR is set."""
    width = None if sys.stdout.isatty() else _UNBOUNDED_COLUMNS
    return Console(file=sys.stdout, width=width, soft_wrap=False, highlight=False)


def cell(value: object) -> Text:
    """Return a value as text for a table, in the colour of its meaning."""
    text = plain(value)
    return Text(text, style=_STYLES.get(text, ""))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> RenderableType:
    """Return rows under headings."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column.upper(), overflow="fold")
    for row in rows:
        grid.add_row(*(cell(value) for value in row))
    return grid


def properties(pairs: Sequence[tuple[str, object]]) -> RenderableType:
    """Return one object's values under each other."""
    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(Text(name), cell(value))
    return grid
