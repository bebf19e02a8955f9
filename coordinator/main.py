"""The command `replikera-coordinator`: make a vault, run it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from coordinator import daemon
from coordinator.authority.errors import AuthorityError
from coordinator.config import CoordinatorSettings
from coordinator.domain.errors import DomainError, RefusedError
from coordinator.orchestration.founding import Founding, Machinery, StateDirectory, found_vault
from coordinator.store.errors import StoreError
from replikera.ports.files import Files
from replikera.settings import SettingsError, load_settings
from replikera.stopping import stopping_on_signals
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.system.workers import ThreadWorker
from replikera.telemetry import configure_logging

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The vault of Replikera: make it, run it."
)

SettingsOption = Annotated[
    Path, typer.Option("--settings", help="The coordinator's settings file.")
]
PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="Holds the passphrase of the authority's keys; as in the settings.",
    ),
]


@app.command()
def init(
    settings: SettingsOption,
    name: Annotated[str, typer.Option("--name", help="The vault's name.")],
    operator: Annotated[str, typer.Option("--operator", help="The first operator's name.")],
    profile: Annotated[Path, typer.Option("--profile", help="Folder for the operator's profile.")],
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make a vault and its first operator, once."""
    with _told_errors(), _machinery() as machinery:
        loaded = _load(machinery.files, settings, passphrase_file)
        founding = Founding(name, operator, profile, loaded.api.address)
        state = daemon.state_directory(loaded)
        record = asyncio.run(found_vault(machinery, state, founding))
        typer.echo(f"Vault {record.name} ({record.id}) is in {state.folder}.")
        typer.echo(f"The profile of operator {operator} is in {profile}.")


@app.command()
def run(settings: SettingsOption, passphrase_file: PassphraseOption = None) -> None:
    """Run the coordinator until it is told to stop."""
    with _told_errors(), _machinery() as machinery:
        loaded = _load(machinery.files, settings, passphrase_file)
        configure_logging(loaded.log_level)
        with _only_one(machinery.files, daemon.state_directory(loaded)):
            asyncio.run(_run(loaded, machinery))


def main() -> None:
    """Run the command."""
    app()


async def _run(settings: CoordinatorSettings, machinery: Machinery) -> None:
    with stopping_on_signals() as stopping:
        await daemon.run(settings, machinery, stopping)


def _load(files: Files, path: Path, passphrase_file: Path | None) -> CoordinatorSettings:
    loaded = load_settings(files, path, CoordinatorSettings)
    if passphrase_file is None:
        return loaded
    return replace(loaded, vault=replace(loaded.vault, passphrase_file=passphrase_file))


@contextmanager
def _machinery() -> Iterator[Machinery]:
    worker = ThreadWorker("state", threads=1)
    try:
        yield Machinery(SystemFiles(), SystemClock(), SystemRandomness(), worker)
    finally:
        worker.close()


@contextmanager
def _only_one(files: Files, state: StateDirectory) -> Iterator[None]:
    """Keep a second coordinator away from the folder; without the folder there is nothing to keep."""
    if files.status(state.folder) is None:
        yield
        return
    if files.is_locked(state.lock):
        raise RefusedError(
            "coordinator-running",
            f"A coordinator runs on {state.folder} already.",
            "Stop it first, or correct state_directory in the settings.",
        )
    with files.lock(state.lock):
        yield


@contextmanager
def _told_errors() -> Iterator[None]:
    try:
        yield
    except (DomainError, StoreError, AuthorityError, SettingsError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
