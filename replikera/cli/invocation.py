"""What one run of the program was asked for, beside the command itself."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import typer

from replikera.ports.clock import Clock
from replikera.ports.files import Files


class OutputFormat(StrEnum):
    """Who reads standard output: people (`table`, free to change) or programs (`json`, the vault's own answer)."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Ports:
    """The machine under the commands."""

    files: Files
    clock: Clock


@dataclass(slots=True)
class Invocation:
    """The global options; `ports` is None for the real machine, which `--help` must not wait for."""

    profile_folder: Path | None = None
    output_format: OutputFormat = OutputFormat.TABLE
    ports: Ports | None = None


def invocation_of(context: typer.Context) -> Invocation:
    """Return the invocation that a command belongs to."""
    return context.ensure_object(Invocation)
