"""What one run of the program was asked for, beside the command itself."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import typer

from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.ports.processes import Processes
from replikera.ports.randomness import Randomness


class OutputFormat(StrEnum):
    """Who reads standard output: people (`table`, free to change) or programs (the vault's own answer)."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"

    @property
    def is_for_programs(self) -> bool:
        """Tell whether a program reads standard output."""
        return self is not OutputFormat.TABLE


@dataclass(frozen=True, slots=True)
class Ports:
    """The machine under the commands."""

    files: Files
    clock: Clock
    randomness: Randomness
    processes: Processes


@dataclass(slots=True)
class Invocation:
    """The global options; `ports` is None for the real machine, which `--help` must not wait for.

    `watch_seconds` is the pause between two looks of a command that looks again and again; `limit` the most items
    that a list shows.
    """

    profile_folder: Path | None = None
    output_format: OutputFormat = OutputFormat.TABLE
    watch_seconds: int | None = None
    limit: int | None = None
    ports: Ports | None = None


def invocation_of(context: typer.Context) -> Invocation:
    """Return the invocation that a command belongs to."""
    return context.ensure_object(Invocation)
