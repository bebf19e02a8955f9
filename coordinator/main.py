"""The command `replikera-coordinator`: make a vault, run it, restore it."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from coordinator import daemon
from coordinator.authority.errors import AuthorityError
from coordinator.authority.passphrase import read_passphrase
from coordinator.config import CoordinatorSettings
from coordinator.domain.errors import DomainError
from coordinator.orchestration.founding import Founding, found_vault, open_vault
from coordinator.orchestration.machinery import Machinery, StateDirectory, only_one
from coordinator.orchestration.owners import Profile, recover_owner
from coordinator.orchestration.restore import Examined, restore_backup, verify_backup
from coordinator.orchestration.vault import Addresses
from coordinator.store.errors import StoreError
from replikera.backup import BackupError
from replikera.ports.files import Files
from replikera.settings import SettingsError, load_settings
from replikera.stopping import stopping_on_signals
from replikera.supervision import supervised
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.system.service_manager import service_manager
from replikera.system.workers import ThreadWorker
from replikera.telemetry import configure_logging

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="The vault of Replikera: make it, run it, restore it.",
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

ArchiveArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]
ProfileOption = Annotated[
    Path, typer.Option("--profile", help="Folder for the operator's profile.")
]


_ERRORS = (DomainError, StoreError, AuthorityError, BackupError, SettingsError, OSError)


@app.command()
def init(
    settings: SettingsOption,
    name: Annotated[str, typer.Option("--name", help="The vault's name.")],
    operator: Annotated[str, typer.Option("--operator", help="The first operator's name.")],
    profile: ProfileOption,
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
        with _alone(machinery.files, daemon.state_directory(loaded)):
            asyncio.run(_run(loaded, machinery))


@app.command("verify-backup")
def verify(
    archive: ArchiveArgument,
    passphrase_file: PassphraseOption = None,
    scratch: Annotated[
        Path | None,
        typer.Option(
            "--scratch",
            help="Folder for the trial, made and removed; needs the size of the backup. "
            "Without it, one beside the backup.",
        ),
    ] = None,
) -> None:
    """Try whether a backup can be restored, and change nothing."""
    with _told_errors(), _machinery() as machinery:
        passphrase = None
        if passphrase_file is not None:
            passphrase = read_passphrase(machinery.files, passphrase_file)
        folder = scratch or archive.with_name(f"{archive.name}.trial")
        examined = asyncio.run(verify_backup(machinery, archive, folder, passphrase))
        typer.echo(_told(archive, examined))
        if passphrase is None:
            typer.echo("The authority's keys were not opened: name their --passphrase-file.")


@app.command()
def restore(
    archive: ArchiveArgument, settings: SettingsOption, passphrase_file: PassphraseOption = None
) -> None:
    """Make the vault of a backup in an empty state directory. Its passphrase has to be in its place already."""
    with _told_errors(), _machinery() as machinery:
        state = daemon.state_directory(_load(machinery.files, settings, passphrase_file))
        manifest = asyncio.run(restore_backup(machinery, archive, state))
        typer.echo(
            f"Vault {manifest.vault_name} ({manifest.vault_id}) of {manifest.created_at:%Y-%m-%d %H:%M:%S} UTC "
            f"is in {state.folder}."
        )
        typer.echo("Start it with: replikera-coordinator run.")
        typer.echo("It sends no order before its hosts have told what happened since.")


@app.command("recover-owner")
def recover(
    settings: SettingsOption,
    name: Annotated[str, typer.Option("--name", help="The owner's name, known or new.")],
    profile: ProfileOption,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make an owner where no owner can come in any more, while the coordinator does not run.

    An owner of that name gets new credentials; its old ones are denied.
    """
    with _told_errors(), _machinery() as machinery:
        loaded = _load(machinery.files, settings, passphrase_file)
        with _alone(machinery.files, daemon.state_directory(loaded)):
            asyncio.run(_recover(loaded, machinery, name, profile))
        typer.echo(f"The profile of owner {name} is in {profile}.")


def main() -> None:
    """Run the command."""
    # The database and its log are made by SQLite, which leaves it to the process who may read them.
    os.umask(0o077)
    app()


async def _run(settings: CoordinatorSettings, machinery: Machinery) -> None:
    manager = service_manager()
    with stopping_on_signals() as stopping:
        async with supervised(manager, machinery.clock, stopping):
            await daemon.run(settings, machinery, stopping, ready=lambda _: manager.tell_ready())


async def _recover(
    settings: CoordinatorSettings, machinery: Machinery, name: str, folder: Path
) -> None:
    addresses = Addresses(settings.enrolment.address, settings.session.address)
    vault = await open_vault(machinery, daemon.state_directory(settings), addresses)
    try:
        profile = Profile(folder, settings.api.address)
        await recover_owner(machinery, vault.store, vault.authority, name, profile)
    finally:
        await vault.store.close()


def _told(archive: Path, examined: Examined) -> str:
    manifest = examined.manifest
    return (
        f"The backup {archive} can be restored: vault {manifest.vault_name} ({manifest.vault_id}) of "
        f"{manifest.created_at:%Y-%m-%d %H:%M:%S} UTC with {examined.hosts} hosts and "
        f"{examined.protections} protections, history to line {manifest.head_number}."
    )


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
def _alone(files: Files, state: StateDirectory) -> Iterator[None]:
    """Keep a second coordinator away from the folder; without the folder there is nothing to keep."""
    if files.status(state.folder) is None:
        yield
        return
    with only_one(files, state):
        yield


@contextmanager
def _told_errors() -> Iterator[None]:
    try:
        yield
    except _ERRORS as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
