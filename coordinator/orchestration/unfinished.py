"""The mark of a state directory that is being made: what lies beside it, and is no vault yet, may be removed.

The database comes last and at once. So a folder whose database holds a vault is complete, whatever mark it has.
"""

import json

from coordinator.domain.errors import RefusedError
from coordinator.orchestration.machinery import StateDirectory
from coordinator.store.database import Store
from replikera.durable import remove_durably, write_durably
from replikera.ports.files import Files

_MAX_BYTES = 4096


def write_mark(files: Files, state: StateDirectory, vault_id: str) -> None:
    """Say, durably, that the folder is being made into that of a vault."""
    write_durably(files, state.unfinished, json.dumps({"vault_id": vault_id}).encode())


def read_mark(files: Files, state: StateDirectory) -> str | None:
    """Return the id of the vault that the folder was to hold, None where no mark is. Raises `RefusedError`."""
    if files.status(state.unfinished) is None:
        return None
    try:
        found = json.loads(files.read_bytes(state.unfinished, limit=_MAX_BYTES))
        return str(found["vault_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedError(
            "unfinished-mark-damaged",
            f"The file {state.unfinished} cannot be read: {error}.",
            f"If {state.folder} holds nothing of value, remove it and try again.",
        ) from error


def remove_mark(files: Files, state: StateDirectory) -> None:
    """Forget the mark of a folder that turned out to be complete: nothing in it may be taken for a leftover."""
    if files.status(state.unfinished) is not None:
        remove_durably(files, state.unfinished)


async def holds_vault(files: Files, state: StateDirectory) -> bool:
    """Tell whether the folder is complete. Raises `StoreError`."""
    if files.status(state.database) is None:
        return False
    store = Store(state.database)
    await store.open()
    try:
        async with store.read() as records:
            return await records.vault() is not None
    finally:
        await store.close()


def remove_unfinished(files: Files, state: StateDirectory) -> None:
    """Remove what was made under the mark, and then the mark."""
    for name in state.database_names:
        path = state.folder / name
        if files.status(path) is not None:
            files.remove(path)
    files.remove_tree(state.authority)
    files.remove_tree(state.restoring)
    files.sync_directory(state.folder)
    remove_durably(files, state.unfinished)
