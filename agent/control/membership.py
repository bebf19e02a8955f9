"""The folder that says which vault this host belongs to, and proves it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from replikera.durable import write_durably
from replikera.identity import (
    KEY_FILE,
    Credentials,
    IdentityError,
    Role,
    generate_private_key,
    load_credentials,
    save_credentials,
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


_MEMBERSHIP = TypeAdapter(Membership)


class MembershipFolder:
    """The identity folder. All calls block. It is complete when vault.json, written last, is there."""

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self.path = path

    def is_complete(self) -> bool:
        """Tell whether this host has joined a vault."""
        return self._files.status(self.path / VAULT_FILE) is not None

    def pending_key(self) -> bytes:
        """Return the private key to join with, durable before it is used.

        A join whose answer was lost is repeated with the same key: the vault then answers the same certificate.
        """
        path = self.path / KEY_FILE
        if self._files.status(path) is not None:
            return self._files.read_bytes(path, limit=_MAX_BYTES)
        self._files.make_directory(self.path)
        self._files.sync_directory(self.path.parent)
        key = generate_private_key()
        write_durably(self._files, path, key)
        return key

    def save(self, membership: Membership, credentials: Credentials) -> None:
        """Make the membership durable. Raises `IdentityError` where the certificate is not of our key."""
        save_credentials(self._files, self.path, credentials)
        _check(membership, load_credentials(self._files, self.path))
        data = json.dumps(asdict(membership), sort_keys=True, indent=1).encode()
        write_durably(self._files, self.path / VAULT_FILE, data)

    def load(self) -> tuple[Membership, Credentials]:
        """Return the membership. Raises `MembershipError`."""
        path = self.path / VAULT_FILE
        try:
            membership = _MEMBERSHIP.validate_json(self._files.read_bytes(path, limit=_MAX_BYTES))
            credentials = load_credentials(self._files, self.path)
            _check(membership, credentials)
        except FileNotFoundError as error:
            raise MembershipError(
                f"this host has not joined a vault ({path} is missing): "
                "run replikera-agent join first"
            ) from error
        except (ValidationError, IdentityError, ValueError) as error:
            problem = "it is damaged" if isinstance(error, ValidationError) else str(error)
            raise MembershipError(
                f"the identity of this host in {self.path} cannot be used: {problem}; "
                "restore the folder, or remove it and run replikera-agent join with a new join line"
            ) from error
        return membership, credentials


def _check(membership: Membership, credentials: Credentials) -> None:
    caller = credentials.caller
    proved = (caller.role, caller.name, caller.vault_id)
    if proved != (Role.HOST, membership.host_id, membership.vault_id):
        raise IdentityError(
            f"the certificate is of {caller.role} {caller.name} in vault {caller.vault_id}, not of "
            f"host {membership.host_id} in vault {membership.vault_id}"
        )
