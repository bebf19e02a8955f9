"""Backups of the vault, taken while it runs."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coordinator.domain.commands import Command
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import RefusedError
from coordinator.domain.events import Event, EventKind
from coordinator.orchestration.machinery import Machinery, StateDirectory
from coordinator.store.errors import StoreError
from replikera.backup import (
    AUTHORITY,
    DATABASE,
    MAX_AUTHORITY_BYTES,
    MAX_FILE_BYTES,
    Manifest,
    Member,
    archive_size,
    beginning,
    ending,
    header,
    padding,
)
from replikera.ports.files import File, Files

if TYPE_CHECKING:  # the vault has this as one of its parts
    from coordinator.orchestration.vault import Vault

SPARE_BYTES = 64 << 20
"""What has to stay free for the vault's own decisions while a copy of its database lies beside it."""

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was taken, for as long as it is there to be read."""

    manifest: Manifest
    _machinery: Machinery
    _database: Path
    _authority: dict[str, bytes]

    @property
    def file_name(self) -> str:
        """Return what to call the file."""
        return f"replikera-vault-{self.manifest.created_at:%Y%m%dT%H%M%SZ}.tar"

    @property
    def size(self) -> int:
        """Return how many bytes `chunks` yields."""
        return archive_size(self.manifest)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the archive from its beginning to its end."""
        yield beginning(self.manifest)
        for item in self.manifest.members:
            yield header(item.name, item.size, self.manifest.created_at)
            if item.name == DATABASE:
                async for chunk in _read(self._machinery, self._database):
                    yield chunk
            else:
                yield self._authority[item.name]
            yield padding(item.size)
        yield ending(self.manifest)


class Backups:
    """Takes backups of a running vault, one at a time."""

    def __init__(self, machinery: Machinery, state: StateDirectory) -> None:
        self._machinery = machinery
        self._state = state
        self._is_taking = False

    @asynccontextmanager
    async def take(self, vault: "Vault", command: Command) -> AsyncIterator[Backup]:
        """Give a backup of this moment; it is gone when the block is left.

        Raises `RefusedError` while another one is taken, `StoreError`, `OSError`.
        """
        with self._turn():
            run, files = self._machinery.worker.run, self._machinery.files
            await run(self._check_space)
            await self._note(vault, command)
            await run(_empty, files, self._state.backups)
            try:
                yield await self._taken(vault)
            finally:
                await run(files.remove_tree, self._state.backups)

    def _check_space(self) -> None:
        """Refuse what does not fit: into a backup, or beside the database on the volume that it has to grow on."""
        files, database = self._machinery.files, self._state.database
        status = files.status(database)
        size = status.size if status is not None else 0
        if size > MAX_FILE_BYTES:
            raise StoreError(
                "backup-too-large",
                f"The database {database} has {size} bytes; a backup holds {MAX_FILE_BYTES}.",
                "Copy the state directory while the coordinator is stopped.",
            )
        needed = SPARE_BYTES + size
        free = files.free_space(self._state.folder)
        if free < needed:
            raise StoreError(
                "disk-full",
                f"A backup needs {needed} bytes for a while in {self._state.folder}, where {free} are free.",
                "Free space on its volume.",
            )

    async def _note(self, vault: "Vault", command: Command) -> None:
        """Tell it in the history before: the copy itself then tells who took it."""
        event = Event(vault.clock.now(), EventKind.VAULT_BACKED_UP, vault.record.id)
        async with vault.store.write() as records:
            await records.save(Decision(events=(event,)), command)

    async def _taken(self, vault: "Vault") -> Backup:
        database = self._state.backups / DATABASE
        head = await vault.store.snapshot(database)
        authority = await self._machinery.worker.run(
            _read_authority, self._machinery.files, self._state.authority
        )
        members = [await _measured(self._machinery, database)]
        members += [
            Member(name, len(content), hashlib.sha256(content).hexdigest())
            for name, content in authority.items()
        ]
        record = vault.record
        manifest = Manifest(
            record.id, record.name, vault.clock.now(), head.number, head.digest, tuple(members)
        )
        return Backup(manifest, self._machinery, database, authority)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._is_taking:
            raise RefusedError(
                "backup-running",
                "Another backup of the vault is being taken.",
                "Wait until it has been downloaded, and try again.",
            )
        self._is_taking = True
        try:
            yield
        finally:
            self._is_taking = False


def _empty(files: Files, folder: Path) -> None:
    # What a coordinator that was killed left there.
    files.remove_tree(folder)
    files.make_directory(folder)


def _read_authority(files: Files, folder: Path) -> dict[str, bytes]:
    """Return the authority's files by their names in a backup; the root's key may have been moved away."""
    return {
        f"{AUTHORITY}/{name}": files.read_bytes(folder / name, limit=MAX_AUTHORITY_BYTES)
        for name in files.list_directory(folder)
        if name.endswith(".pem")
    }


async def _measured(machinery: Machinery, path: Path) -> Member:
    digest = hashlib.sha256()
    size = 0
    async for chunk in _read(machinery, path):
        await machinery.worker.run(digest.update, chunk)
        size += len(chunk)
    return Member(path.name, size, digest.hexdigest())


async def _read(machinery: Machinery, path: Path) -> AsyncIterator[bytes]:
    """Yield a file piece by piece, so that others have their turn at the worker in between."""
    run = machinery.worker.run
    file: File = await run(machinery.files.open_read, path)
    try:
        at = 0
        while chunk := await run(file.read, _CHUNK, at):
            yield chunk
            at += len(chunk)
    finally:
        file.close()
