"""Backups on a machine where no coordinator runs: verified, and restored into an empty state directory."""

from dataclasses import dataclass
from pathlib import Path

from coordinator.authority.authority import (
    ISSUING_FILE,
    ISSUING_KEY_FILE,
    ROOT_FILE,
    open_authority,
)
from coordinator.authority.errors import AuthorityError
from coordinator.authority.passphrase import read_passphrase
from coordinator.domain import reconciliation
from coordinator.domain.commands import BY_VAULT
from coordinator.domain.errors import RefusedError
from coordinator.orchestration.machinery import Machinery, StateDirectory, only_one
from coordinator.orchestration.unfinished import (
    holds_vault,
    read_mark,
    remove_mark,
    remove_unfinished,
    write_mark,
)
from coordinator.store.database import Store
from replikera.backup import (
    AUTHORITY,
    DATABASE,
    BackupError,
    Manifest,
    read_manifest,
    unpack,
)
from replikera.durable import TEMPORARY_SUFFIX
from replikera.ports.files import Files

_NEEDED = (ROOT_FILE, ISSUING_FILE, ISSUING_KEY_FILE)
"""Without these an authority is none; a signing certificate is made anew, the root's key may be elsewhere."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A backup that can be restored."""

    manifest: Manifest
    hosts: int
    protections: int


async def verify_backup(
    machinery: Machinery, archive: Path, scratch: Path, passphrase: bytes | None
) -> Examined:
    """Restore a backup into the new folder `scratch`, which is removed, and open everything in it.

    Without the passphrase the authority's keys are only looked for. Raises `BackupError`, `StoreError`,
    `AuthorityError`, `OSError`.
    """
    run, files = machinery.worker.run, machinery.files
    if files.status(scratch) is not None:
        raise RefusedError(
            "scratch-exists",
            f"There is a folder {scratch} already, which the trial would remove in the end.",
            "Remove it if an earlier trial left it, or name another with --scratch.",
        )
    await run(files.make_directory, scratch)
    try:
        manifest = await run(unpack, files, archive, scratch)
        await run(_check_authority, machinery, scratch, manifest, passphrase)
        store = Store(scratch / DATABASE)
        await store.open()
        try:
            await _check_database(store, manifest)
            async with store.read() as records:
                hosts = await records.hosts.all(limit=None)
                return Examined(
                    manifest, len(hosts), len(await records.protections.all(limit=None))
                )
        finally:
            await store.close()
    finally:
        await run(files.remove_tree, scratch)


async def restore_backup(machinery: Machinery, archive: Path, state: StateDirectory) -> Manifest:
    """Make the vault of a backup in an empty state directory; it reconciles with its hosts when it runs.

    The database comes last: what is interrupted is no vault, and the same command begins again. Raises `RefusedError`,
    `BackupError`, `StoreError`, `AuthorityError`, `OSError`.
    """
    run, files = machinery.worker.run, machinery.files
    passphrase = await run(read_passphrase, files, state.passphrase_file)
    await run(_check_empty, files, state)
    await run(files.make_directory, state.folder)
    with only_one(files, state):
        await _clear(machinery, state)
        manifest = await run(read_manifest, files, archive)
        await run(write_mark, files, state, manifest.vault_id)
        await run(_check_space, files, state, manifest)
        await run(unpack, files, archive, state.restoring)
        await run(_check_authority, machinery, state.restoring, manifest, passphrase)
        await _prepare_database(machinery, state.restoring / DATABASE, manifest)
        await run(_put_in_place, files, state)
    return manifest


def _check_empty(files: Files, state: StateDirectory) -> None:
    mark = state.unfinished.name
    ours = {state.lock.name, mark, mark + TEMPORARY_SUFFIX}
    if state.passphrase_file.parent == state.folder:
        ours.add(state.passphrase_file.name)
    if files.status(state.unfinished) is not None:
        ours |= {state.authority.name, state.restoring.name, *state.database_names}
    found = [name for name in files.list_directory(state.folder) if name not in ours]
    if found:
        raise RefusedError(
            "state-directory-not-empty",
            f"The state directory {state.folder} is not empty: it holds {', '.join(found[:5])}.",
            "Move what is there away, or correct state_directory in the settings: nothing is overwritten.",
        )


async def _clear(machinery: Machinery, state: StateDirectory) -> None:
    """Remove what an interrupted attempt left. Raises `RefusedError` where it came to its end."""
    run, files = machinery.worker.run, machinery.files
    await run(_check_empty, files, state)
    if await run(read_mark, files, state) is None:
        return
    if await holds_vault(files, state):
        raise RefusedError(
            "vault-exists",
            f"There is a vault in {state.folder} already.",
            "Start it with: replikera-coordinator run.",
        )
    await run(remove_unfinished, files, state)


def _check_space(files: Files, state: StateDirectory, manifest: Manifest) -> None:
    needed = sum(item.size for item in manifest.members)
    free = files.free_space(state.folder)
    if free < needed:
        raise BackupError(
            "disk-full",
            f"The backup needs {needed} bytes in {state.folder}, where {free} are free.",
            "Free space on its volume.",
        )


def _check_authority(
    machinery: Machinery, folder: Path, manifest: Manifest, passphrase: bytes | None
) -> None:
    files, authority = machinery.files, folder / AUTHORITY
    for name in _NEEDED:
        if files.status(authority / name) is None:
            raise AuthorityError(
                "authority-incomplete",
                f"The backup has no {AUTHORITY}/{name}.",
                "Use another backup: a vault without its authority can certify nobody.",
            )
    if passphrase is not None:
        open_authority(
            files,
            authority,
            manifest.vault_id,
            passphrase=passphrase,
            randomness=machinery.randomness,
            now=machinery.clock.now(),
        )


async def _check_database(store: Store, manifest: Manifest) -> None:
    """Check that the database is the one that the manifest tells of, whole and unchanged."""
    await store.check_integrity()
    head = await store.verify_history()
    async with store.read() as records:
        record = await records.vault()
        await records.control()
    is_same = record is not None and (record.id, record.name) == (
        manifest.vault_id,
        manifest.vault_name,
    )
    if not is_same or (head.number, head.digest) != (manifest.head_number, manifest.head_digest):
        raise BackupError(
            "backup-damaged",
            "The database in the backup is not the one that its manifest tells of.",
            "Use another backup.",
        )


async def _prepare_database(machinery: Machinery, path: Path, manifest: Manifest) -> None:
    """Check the database where nothing runs yet, and let it begin by asking its hosts."""
    store = Store(path)
    await store.open()
    try:
        await _check_database(store, manifest)
        now = machinery.clock.now()
        async with store.write() as records:
            head = await records.head()
            detail = f"from the backup of {manifest.created_at:%Y-%m-%d %H:%M:%S} UTC"
            await records.history.skip_to(head.number + reconciliation.SKIPPED_LINES)
            control = await records.control()
            await records.save(reconciliation.restored(control, detail, now), BY_VAULT)
    finally:
        await store.close()


def _put_in_place(files: Files, state: StateDirectory) -> None:
    """Move what was prepared to where it belongs; the database makes it a vault, and comes last."""
    for name in state.database_names[1:]:
        if files.status(state.restoring / name) is not None:
            raise OSError(f"{state.restoring / name} is still there: the database was not closed")
    with files.open_write(state.restoring / DATABASE) as database:
        database.sync()
    files.replace(state.restoring / AUTHORITY, state.authority)
    files.sync_directory(state.folder)
    files.replace(state.restoring / DATABASE, state.database)
    files.sync_directory(state.folder)
    files.remove_tree(state.restoring)
    remove_mark(files, state)
