"""Making a vault, once, and opening it at every start."""

import json
from dataclasses import dataclass
from pathlib import Path

from coordinator.authority.authority import Authority, create_authority, open_authority
from coordinator.authority.passphrase import read_or_create_passphrase, read_passphrase
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import RefusedError, UnknownObjectError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.identifiers import VaultId, check_label, check_name
from coordinator.orchestration.presence import Presence
from coordinator.orchestration.soft_state import JobProgress, ReplicationReports
from coordinator.orchestration.vault import Addresses, Vault
from coordinator.store.database import Store
from coordinator.store.records import VaultRecord
from replikera.durable import write_durably
from replikera.identity import Role, save_credentials
from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness
from replikera.ports.workers import Worker

PROFILE_FILE = "profile.json"


@dataclass(frozen=True, slots=True)
class Machinery:
    """The machine that the vault runs on."""

    files: Files
    clock: Clock
    randomness: Randomness
    worker: Worker


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """What is where in the vault's folder."""

    folder: Path
    passphrase_file: Path

    @property
    def database(self) -> Path:
        """Return the path of the database."""
        return self.folder / "vault.db"

    @property
    def authority(self) -> Path:
        """Return the folder of the authority's certificates and keys."""
        return self.folder / "authority"

    @property
    def server(self) -> Path:
        """Return the folder of the listeners' credentials."""
        return self.folder / "server"

    @property
    def lock(self) -> Path:
        """Return the file that a running coordinator holds locked."""
        return self.folder / "coordinator.lock"


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
    """Make the vault and its first operator. Raises `RefusedError` where there is one already."""
    check_name("vault", founding.vault_name, "name")
    check_label("operator", founding.operator, "operator")
    now = machinery.clock.now()
    record = VaultRecord(VaultId(machinery.randomness.uuid()), founding.vault_name, now)
    authority = await machinery.worker.run(_make_authority, machinery, state, founding, record)
    store = Store(state.database)
    await store.open()
    try:
        async with store.write() as records:
            await records.save_vault(record)
            event = Event(now, EventKind.VAULT_CREATED, record.id, record.name)
            await records.save(Decision(events=(event,)))
    finally:
        await store.close()
    await machinery.worker.run(_write_profile, machinery, founding, record, authority)
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
        record = await _read_record(store, state)
        authority = await machinery.worker.run(_open_authority, machinery, state, record)
        reports = ReplicationReports()
        await reports.load(store)
    except BaseException:
        await store.close()
        raise
    return Vault(
        record,
        addresses,
        store,
        authority,
        Presence(machinery.clock),
        reports,
        JobProgress(),
        machinery.clock,
        machinery.randomness,
    )


async def _read_record(store: Store, state: StateDirectory) -> VaultRecord:
    async with store.read() as records:
        record = await records.vault()
    if record is None:
        raise _no_vault(state)
    return record


def _make_authority(
    machinery: Machinery, state: StateDirectory, founding: Founding, record: VaultRecord
) -> Authority:
    files = machinery.files
    _check_nothing_there(files, state, founding)
    files.make_directory(state.folder)
    passphrase = read_or_create_passphrase(files, state.passphrase_file, machinery.randomness)
    return create_authority(
        files,
        state.authority,
        record.id,
        passphrase=passphrase,
        randomness=machinery.randomness,
        now=record.created_at,
    )


def _check_nothing_there(files: Files, state: StateDirectory, founding: Founding) -> None:
    if files.status(state.database) is not None or files.status(state.authority) is not None:
        raise RefusedError(
            "vault-exists",
            f"There is a vault in {state.folder} already.",
            "Start it with: replikera-coordinator run. "
            "If an interrupted init left this folder, remove it and try again.",
        )
    if files.status(founding.profile / PROFILE_FILE) is not None:
        raise RefusedError(
            "profile-exists",
            f"There is an operator profile in {founding.profile} already.",
            "Name another folder with --profile.",
        )


def _write_profile(
    machinery: Machinery, founding: Founding, record: VaultRecord, authority: Authority
) -> None:
    credentials = authority.issue_credentials(
        Role.OPERATOR, founding.operator, machinery.clock.now()
    )
    save_credentials(machinery.files, founding.profile, credentials)
    profile = {
        "vault_id": record.id,
        "vault_name": record.name,
        "api_address": founding.api_address,
    }
    text = json.dumps(profile, indent=2) + "\n"
    write_durably(machinery.files, founding.profile / PROFILE_FILE, text.encode())


def _open_authority(machinery: Machinery, state: StateDirectory, record: VaultRecord) -> Authority:
    return open_authority(
        machinery.files,
        state.authority,
        record.id,
        passphrase=read_passphrase(machinery.files, state.passphrase_file),
        randomness=machinery.randomness,
    )


def _no_vault(state: StateDirectory) -> UnknownObjectError:
    return UnknownObjectError(
        "no-vault",
        f"There is no vault in {state.folder}.",
        "Make one: replikera-coordinator init.",
    )
