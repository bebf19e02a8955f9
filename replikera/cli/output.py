"""Where output goes: answers to standard output, everything else to standard error.

With `-o json` standard output holds one JSON document, and standard error nothing but the problem document of a
failure (and, on a terminal, a progress bar).
"""

import json
import sys
from collections.abc import Callable, Sequence

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from replikera.cli.invocation import OutputFormat, invocation_of
from replikera.cli.wording import plain

_UNBOUNDED_COLUMNS = 10_000
"""Width for a pipe: a program behind it must see whole values."""

_STYLES = {
    "healthy": "green",
    "connected": "green",
    "protected": "green",
    "succeeded": "green",
    "warning": "yellow",
    "critical": "bold red",
    "failed": "bold red",
    "disconnected": "bold red",
    "resync-required": "bold red",
    "unknown": "dim",
}


class Output:
    """The two streams of one command."""

    def __init__(self, output_format: OutputFormat) -> None:
        self._is_json = output_format is OutputFormat.JSON

    @property
    def is_json(self) -> bool:
        """Tell whether a program reads standard output."""
        return self._is_json

    def answer(self, document: object, render: Callable[[], RenderableType]) -> None:
        """Write what was asked for: the document as it is, or what `render` makes of it for people."""
        if self._is_json:
            typer.echo(json.dumps(document, indent=2))
        else:
            console_on_stdout().print(render())

    def line(self, document: object, text: str) -> None:
        """Write the document, or one line that can be piped as it is."""
        typer.echo(json.dumps(document, indent=2) if self._is_json else text)

    def message(self, text: str) -> None:
        """Tell a person something."""
        if not self._is_json:
            typer.echo(text, err=True)

    def next(self, command: str) -> None:
        """Tell a person what to do next."""
        self.message(f"next: {command}")


def output_of(context: typer.Context) -> Output:
    """Return the output of the command that `context` belongs to."""
    return Output(invocation_of(context).output_format)


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
