"""What the lab tells the one who watches, and the measured time of every step."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from replikera.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done, and how long it took; `command` is empty for what is no command."""

    name: str
    command: str
    seconds: float


class Narrator:
    """Prints headings, real command lines and times, and remembers the times."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._heading = ""
        self._headings = 0
        self._steps: list[Step] = []

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return the steps so far, those that failed too."""
        return tuple(self._steps)

    def heading(self, text: str) -> None:
        """Begin a chapter."""
        self._headings += 1
        self._heading = text
        self._write(f"\n{self._headings}. {text}", "bold cyan")

    def part(self, text: str) -> None:
        """Begin a part of a chapter."""
        self._heading = text
        self._write(f"\n{text}", "cyan")

    def note(self, text: str) -> None:
        """Say something in between."""
        self._write(text, "")

    def verdict(self, text: str, *, is_good: bool) -> None:
        """Say what a comparison came to."""
        self._write(text, "bold green" if is_good else "bold red")

    @contextmanager
    def command(self, arguments: Sequence[str], suffix: str = "") -> Iterator[None]:
        """Print a command line before it runs, and its time after it."""
        line = shlex.join(arguments) + suffix
        self._write(f"$ {line}", "bold")
        with self._timed(self._heading, line):
            yield

    @contextmanager
    def work(self, name: str) -> Iterator[None]:
        """Announce work that is no command, and print its time after it."""
        self._write(f"({name})", "")
        with self._timed(name, ""):
            yield

    @contextmanager
    def _timed(self, name: str, command: str) -> Iterator[None]:
        started = self._clock.monotonic()
        try:
            yield
        finally:
            seconds = round(self._clock.monotonic() - started, 3)
            self._steps.append(Step(name, command, seconds))
            self._write(f"  {seconds:.1f} s", "dim")

    def _write(self, text: str, style: str) -> None:
        self._console.print(Text(text, style=style), soft_wrap=True)
