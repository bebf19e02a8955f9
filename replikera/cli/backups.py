"""Backups of the vault: fetched from the running one, tried and restored by the coordinator's own program."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import typer

from replikera.backup import BackupError, Manifest, read_manifest
from replikera.cli.client import VaultClient
from replikera.cli.errors import CommandError, ConflictError, NotFoundError
from replikera.cli.programs import with_full_path
from replikera.durable import TEMPORARY_SUFFIX
from replikera.ports.files import Files
from replikera.ports.processes import Processes

_COORDINATOR = "replikera-coordinator"
_QUIET_S = 24 * 3600.0
"""For a program whose end nobody watches; a vault is copied within minutes."""


async def fetch_backup(client: VaultClient, files: Files, path: Path) -> Manifest:
    """Write a backup to the new file `path`, durably, and return what it says it is. Raises `CommandError`.

    It has that name only when it is whole.
    """
    if files.status(path) is not None:
        raise ConflictError(
            "file-exists", f"There is a file {path} already", "Name a new one: none is overwritten"
        )
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        await _download(client, files, temporary)
        manifest = read_backup(files, temporary)
        files.link(temporary, path)
    except OSError as error:
        raise _file_error(path, error) from error
    finally:
        if files.status(temporary) is not None:
            files.remove(temporary)
    files.sync_directory(path.parent)
    return manifest


def read_backup(files: Files, path: Path) -> Manifest:
    """Return what a backup says it is. Raises `CommandError`."""
    try:
        return read_manifest(files, path)
    except BackupError as error:
        raise CommandError(error.code, error.cause, error.remedy) from error
    except FileNotFoundError as error:
        raise NotFoundError(
            "no-such-file", f"There is no file {path}", "Name an existing backup"
        ) from error
    except OSError as error:
        raise _file_error(path, error) from error


def manifest_document(path: Path, manifest: Manifest) -> dict[str, object]:
    """Return what a backup says it is, for programs."""
    return {
        "file": str(path),
        "vault": {"id": manifest.vault_id, "name": manifest.vault_name},
        "created_at": manifest.created_at.isoformat(),
        "head": {"number": manifest.head_number, "digest": manifest.head_digest.hex()},
    }


def run_coordinator(processes: Processes, arguments: Sequence[str], *, is_shown: bool) -> None:
    """Run the coordinator's program beside this one to its end. Raises `CommandError`, or `Exit` after its own words.

    Only the coordinator knows its store; what it says goes where this program's words go.
    """
    line = with_full_path((_COORDINATOR, *arguments))
    try:
        code, words = asyncio.run(_run(processes, line, is_shown=is_shown))
    except FileNotFoundError as error:
        raise NotFoundError(
            "no-coordinator",
            f"There is no program {line[0]}",
            "Run this on a machine where Replikera is installed with its coordinator",
        ) from error
    if code and is_shown:
        raise typer.Exit(code if code > 0 else 1)
    if code:
        raise CommandError(
            "coordinator-failed",
            f"{_COORDINATOR} {arguments[0]} ended with exit code {code}: {words}",
            "Do what it says",
        )


async def _run(processes: Processes, line: Sequence[str], *, is_shown: bool) -> tuple[int, str]:
    if is_shown:
        return await processes.run_attached(line), ""
    completed = await processes.run(line, timeout=_QUIET_S)
    return completed.exit_code, completed.errors.decode(errors="replace").strip()


async def _download(client: VaultClient, files: Files, path: Path) -> None:
    if files.status(path) is not None:
        files.remove(path)
    # Nothing else runs on this loop: writing may block it.
    with files.create(path) as file:
        await client.download("vault", "backup", sink=lambda data: file.write(data, file.size()))
        file.sync()


def _file_error(path: Path, error: OSError) -> CommandError:
    return CommandError(
        "file-unusable",
        f"{error.filename or path}: {error.strerror or error}",
        "Name a file in a folder that you may use and that has room",
    )
