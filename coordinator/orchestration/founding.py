"""Making a vault, once, and opening it at every start."""

from dataclasses import dataclass
from pathlib import Path

from coordinator.authority.authority import Authority, create_authority, open_authority
from coordinator.authority.passphrase import read_or_create_passphrase, read_passphrase
from coordinator.authority.server import server_credentials
from coordinator.domain.commands import BY_VAULT
from coordinator.domain.control import Control, VaultMode
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import RefusedError, UnknownObjectError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.identifiers import VaultId, check_label, check_name
from coordinator.orchestration.backup import Backups
from coordinator.orchestration.deny_lists import DenyLists
from coordinator.orchestration.machinery import Machinery, StateDirectory, only_one
from coordinator.orchestration.owners import Profile, first_owner
from coordinator.orchestration.presence import Presence
from coordinator.orchestration.reconciliation import Reconciliation
from coordinator.orchestration.soft_state import JobProgress, Replacements, ReplicationReports
from coordinator.orchestration.trust import publish_deny_list
from coordinator.orchestration.unfinished import (
    holds_vault,
    read_mark,
    remove_mark,
    remove_unfinished,
    write_mark,
)
from coordinator.orchestration.vault import Addresses, Vault
from coordinator.store.database import Store
from coordinator.store.records import VaultRecord
from replikera.denials import Denials
from replikera.identity import CredentialsHolder
from replikera.ports.files import Files


@dataclass(frozen=True, slots=True)
class Founding:
    """What a new vault is to be. `profile` is the folder for its first operator's credentials."""

    vault_name: str
    operator: str
    profile: Path
    api_address: str


async def found_vault(
    machinery: Machinery, state: StateDirectory, founding: Founding
) -> VaultRecord:
    """Make the vault and its first operator. Raises `RefusedError` where there is one already.

    The database is written last, and at once: a vault is there when it says so. What an interrupted attempt left is
    recognised by its mark and removed by the next one.
    """
    check_name("vault", founding.vault_name, "name")
    check_label("operator", founding.operator, "operator")
    files = machinery.files
    await machinery.worker.run(_check_nothing_there, files, state, founding)
    await machinery.worker.run(files.make_directory, state.folder)
    with only_one(files, state):
        await _remove_unfinished(machinery, state, founding)
        record = VaultRecord(
            VaultId(machinery.randomness.uuid()), founding.vault_name, machinery.clock.now()
        )
        authority = await machinery.worker.run(_make_authority, machinery, state, record)
        credentials, owner = first_owner(machinery, authority, founding.operator)
        profile = Profile(founding.profile, founding.api_address)
        await machinery.worker.run(profile.write, files, record, credentials)
        await _write_database(state, record, owner)
        await machinery.worker.run(remove_mark, files, state)
    return record


async def open_vault(machinery: Machinery, state: StateDirectory, addresses: Addresses) -> Vault:
    """Open the vault in a folder; its store is the caller's to close.

    Raises `UnknownObjectError`, `StoreError`, `AuthorityError`.
    """
    if machinery.files.status(state.database) is None:
        raise _no_vault(state)
    store = Store(state.database)
    await store.open()
    try:
        vault = await _assembled(machinery, state, addresses, store)
        await vault.reports.load(store)
        # Nobody is let in before the vault knows whom it has denied.
        await publish_deny_list(vault)
    except BaseException:
        await store.close()
        raise
    return vault


async def _assembled(
    machinery: Machinery, state: StateDirectory, addresses: Addresses, store: Store
) -> Vault:
    run, files = machinery.worker.run, machinery.files
    record = await _read_record(store, state)
    await run(remove_mark, files, state)
    authority = await run(_open_authority, machinery, state, record)
    server = await run(server_credentials, files, state.server, authority, machinery.clock.now())
    async with store.read() as records:
        control = await records.control()
    return Vault(
        record=record,
        addresses=addresses,
        store=store,
        authority=authority,
        server=CredentialsHolder(server),
        denials=Denials(),
        deny_lists=DenyLists(),
        reconciliation=Reconciliation(control, publish_deny_list),
        backups=Backups(machinery, state),
        presence=Presence(machinery.clock),
        reports=ReplicationReports(),
        progress=JobProgress(machinery.clock),
        replacements=Replacements(machinery.clock),
        clock=machinery.clock,
        randomness=machinery.randomness,
    )


async def _read_record(store: Store, state: StateDirectory) -> VaultRecord:
    async with store.read() as records:
        record = await records.vault()
    if record is None:
        raise _no_vault(state)
    return record


def _check_nothing_there(files: Files, state: StateDirectory, founding: Founding) -> None:
    unfinished = read_mark(files, state)
    is_something_there = any(
        files.status(path) is not None for path in (state.database, state.authority)
    )
    if is_something_there and unfinished is None:
        raise _exists(state)
    Profile(founding.profile, founding.api_address).check_free(files, unfinished)


async def _remove_unfinished(
    machinery: Machinery, state: StateDirectory, founding: Founding
) -> None:
    """Remove what an attempt left that did not come to its end. Raises `RefusedError` where it did."""
    files = machinery.files
    await machinery.worker.run(_check_nothing_there, files, state, founding)
    if await machinery.worker.run(read_mark, files, state) is None:
        return
    if await holds_vault(files, state):
        raise _exists(state)
    await machinery.worker.run(remove_unfinished, files, state)


def _make_authority(machinery: Machinery, state: StateDirectory, record: VaultRecord) -> Authority:
    files = machinery.files
    write_mark(files, state, record.id)
    passphrase = read_or_create_passphrase(files, state.passphrase_file, machinery.randomness)
    return create_authority(
        files,
        state.authority,
        record.id,
        passphrase=passphrase,
        randomness=machinery.randomness,
        now=record.created_at,
    )


async def _write_database(state: StateDirectory, record: VaultRecord, owner: Decision) -> None:
    store = Store(state.database)
    await store.open()
    try:
        async with store.write() as records:
            await records.save_vault(record)
            event = Event(record.created_at, EventKind.VAULT_CREATED, record.id, record.name)
            control = Control(record.id, VaultMode.SERVING, record.created_at)
            made = Decision(aggregates=(control,), events=(event,))
            await records.save(made + owner, BY_VAULT)
    finally:
        await store.close()


def _open_authority(machinery: Machinery, state: StateDirectory, record: VaultRecord) -> Authority:
    return open_authority(
        machinery.files,
        state.authority,
        record.id,
        passphrase=read_passphrase(machinery.files, state.passphrase_file),
        randomness=machinery.randomness,
        now=machinery.clock.now(),
    )


def _exists(state: StateDirectory) -> RefusedError:
    return RefusedError(
        "vault-exists",
        f"There is a vault in {state.folder} already.",
        "Start it with: replikera-coordinator run.",
    )


def _no_vault(state: StateDirectory) -> UnknownObjectError:
    return UnknownObjectError(
        "no-vault",
        f"There is no vault in {state.folder}.",
        "Make one: replikera-coordinator init.",
    )
