"""The folder that says which vault this host belongs to, and proves it.

`vault.json` names the folder of the credentials that count, so that new ones replace the old in one atomic step. The
name of a folder says what its key was made for: what a crash interrupted is repeated with the same key, to which the
vault answers the same certificate.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cryptography import x509
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from replikera.durable import write_durably
from replikera.identity import (
    CERTIFICATE_FILE,
    KEY_FILE,
    ROOT_FILE,
    Credentials,
    IdentityError,
    Role,
    generate_private_key,
    load_credentials,
    save_credentials,
    signing_request,
)
from replikera.ports.files import Files

VAULT_FILE = "vault.json"
_MAX_BYTES = 64 * 1024


class MembershipError(Exception):
    """The folder holds no membership, or not the whole of one; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class Membership:
    """What the vault told this host when it joined."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    vault_id: str
    vault_name: str
    host_id: str
    session_address: str
    site: str


@dataclass(frozen=True, slots=True)
class _VaultFile(Membership):
    """`credentials` is the name of their folder, empty for this one: earlier versions kept them here."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    credentials: Annotated[str, Field(pattern=r"^[a-z0-9-]*$")] = ""


_VAULT_FILE = TypeAdapter(_VaultFile)


def join_name(key_id: str) -> str:
    """Return the name of what a registration key brings."""
    return f"join-{key_id}"


def renewal_name(credentials: Credentials) -> str:
    """Return the name of what follows these credentials."""
    return f"renewal-{credentials.caller.certificate_id}"


class MembershipFolder:
    """The identity folder. All calls block. This host is a member once vault.json is there."""

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self.path = path

    def is_complete(self) -> bool:
        """Tell whether this host has joined a vault."""
        return self._files.status(self.path / VAULT_FILE) is not None

    def pending_key(self, name: str) -> bytes:
        """Return the private key of credentials to come, durable before it is used."""
        folder = self.path / name
        path = folder / KEY_FILE
        if self._files.status(path) is not None:
            return self._files.read_bytes(path, limit=_MAX_BYTES)
        self._make_folder(folder)
        key = generate_private_key()
        write_durably(self._files, path, key)
        return key

    def adopt(self, name: str, membership: Membership, credentials: Credentials) -> None:
        """Make these the credentials that count, durably and in one step; older ones go.

        Raises `IdentityError` where the certificate is not of our key, or not this member's.
        """
        # Before a byte is written: a repeated join writes into the folder that counts already.
        _check_pair(credentials)
        _check(membership, credentials)
        folder = self.path / name
        self._make_folder(folder)
        save_credentials(self._files, folder, credentials)
        if load_credentials(self._files, folder) != credentials:
            raise OSError(f"{folder} does not hold what was written")
        told = _VaultFile(**asdict(membership), credentials=name)
        data = json.dumps(asdict(told), sort_keys=True, indent=1).encode()
        write_durably(self._files, self.path / VAULT_FILE, data)
        # What is left of the old ones proves nothing any more: the next adoption tries again to remove it.
        with suppress(OSError):
            self._remove_all_but(name)

    def membership(self) -> Membership:
        """Return which host of which vault this is. Raises `MembershipError`."""
        return _membership(self._read())

    def load(self) -> tuple[Membership, Credentials]:
        """Return the membership and what proves it. Raises `MembershipError`."""
        told = self._read()
        try:
            credentials = load_credentials(self._files, self.path / told.credentials)
            _check(told, credentials)
        except IdentityError as error:
            raise MembershipError(
                f"the identity of this host in {self.path} cannot be used: {error}. Restore the folder; "
                "or readmit the host (replikera host readmit) and run replikera-agent join with that line"
            ) from error
        return _membership(told), credentials

    def _read(self) -> _VaultFile:
        path = self.path / VAULT_FILE
        try:
            return _VAULT_FILE.validate_json(self._files.read_bytes(path, limit=_MAX_BYTES))
        except FileNotFoundError as error:
            raise MembershipError(
                f"this host has not joined a vault ({path} is missing): "
                "run replikera-agent join first"
            ) from error
        except (ValidationError, ValueError) as error:
            raise MembershipError(
                f"the identity of this host cannot be used: {path} is damaged. Restore the file; or remove "
                f"{self.path}, readmit the host (replikera host readmit) and run replikera-agent join with that line"
            ) from error

    def _make_folder(self, folder: Path) -> None:
        self._files.make_directory(folder)
        self._files.sync_directory(self.path.parent)
        self._files.sync_directory(self.path)

    def _remove_all_but(self, name: str) -> None:
        for entry in self._files.list_directory(self.path):
            path = self.path / entry
            if entry in {CERTIFICATE_FILE, KEY_FILE, ROOT_FILE}:
                self._files.remove(path)
            elif entry.startswith(("join-", "renewal-")) and entry != name:
                self._files.remove_tree(path)


def _membership(told: _VaultFile) -> Membership:
    return Membership(told.vault_id, told.vault_name, told.host_id, told.session_address, told.site)


def _check_pair(credentials: Credentials) -> None:
    request = x509.load_der_x509_csr(signing_request(credentials.private_key))
    leaf = x509.load_pem_x509_certificate(credentials.certificate_chain)
    if request.public_key() != leaf.public_key():
        raise IdentityError("the certificate is not for the key of this host")


def _check(membership: Membership, credentials: Credentials) -> None:
    caller = credentials.caller
    proved = (caller.role, caller.name, caller.vault_id)
    if proved != (Role.HOST, membership.host_id, membership.vault_id):
        raise IdentityError(
            f"the certificate is of {caller.role} {caller.name} in vault {caller.vault_id}, "
            f"this is host {membership.host_id} in vault {membership.vault_id}"
        )
