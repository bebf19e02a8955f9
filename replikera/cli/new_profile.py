"""The profile of an operator that is being made: its key first, its certificate when the vault has answered.

Key and request are durable before the vault is asked. A program that is killed in between goes on with the same request
when it is run again, and the vault, which acts once on a request, answers with the same operator.
"""

import base64
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from replikera.cli.errors import ConflictError
from replikera.cli.profile import PROFILE_FILE, Profile
from replikera.durable import (
    TEMPORARY_SUFFIX,
    make_directory_durably,
    remove_durably,
    write_durably,
)
from replikera.identity import (
    KEY_FILE,
    NEXT_KEY_FILE,
    Credentials,
    generate_private_key,
    save_credentials,
    signing_request,
)
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness

_REQUEST_FILE = "request.json"
_BEGUN = {NEXT_KEY_FILE, NEXT_KEY_FILE + TEMPORARY_SUFFIX, _REQUEST_FILE + TEMPORARY_SUFFIX}
"""What a program leaves that was killed before it asked the vault for anything."""

_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class OperatorRequest:
    """What the vault is asked for, under one idempotency key."""

    name: str
    role: str
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request, and the key that the certificate is for."""

    request: OperatorRequest
    private_key: bytes

    def body(self) -> dict[str, object]:
        """Return the request as the vault takes it."""
        encoded = base64.b64encode(signing_request(self.private_key)).decode()
        return {
            "name": self.request.name,
            "role": self.request.role,
            "certificate_signing_request": encoded,
        }


class NewProfile:
    """A folder that becomes a profile."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder

    def prepare(self, name: str, role: str, randomness: Randomness) -> Prepared:
        """Return the request to send, a new one or the one that was begun here. Raises `ConflictError`."""
        if self._files.status(self._folder / PROFILE_FILE) is not None:
            raise ConflictError(
                "profile-exists",
                f"There is an operator profile in {self._folder} already",
                "Name another folder with --profile",
            )
        if self._files.status(self._folder / _REQUEST_FILE) is not None:
            return self._resumed(name, role)
        if set(self._files.list_directory(self._folder)) - _BEGUN:
            raise ConflictError(
                "folder-not-empty",
                f"{self._folder} is not empty; nothing in it was touched",
                "Name an empty or a new folder with --profile",
            )
        prepared = Prepared(OperatorRequest(name, role, randomness.uuid()), generate_private_key())
        self._keep(prepared)
        return prepared

    def finish(self, maker: Profile, credentials: Credentials) -> None:
        """Make the folder a profile of the vault that `maker` belongs to."""
        save_credentials(self._files, self._folder, credentials)
        document = {
            "vault_id": maker.vault_id,
            "vault_name": maker.vault_name,
            "api_address": maker.api_address,
        }
        text = json.dumps(document, indent=2) + "\n"
        write_durably(self._files, self._folder / PROFILE_FILE, text.encode())
        remove_durably(self._files, self._folder / _REQUEST_FILE)

    def abandon(self) -> None:
        """Forget a request that the vault refused."""
        remove_durably(self._files, self._folder / _REQUEST_FILE)
        remove_durably(self._files, self._folder / NEXT_KEY_FILE)

    def _keep(self, prepared: Prepared) -> None:
        make_directory_durably(self._files, self._folder)
        write_durably(self._files, self._folder / NEXT_KEY_FILE, prepared.private_key)
        content = json.dumps(asdict(prepared.request), indent=2) + "\n"
        write_durably(self._files, self._folder / _REQUEST_FILE, content.encode())

    def _resumed(self, name: str, role: str) -> Prepared:
        begun = self._read_request()
        if (begun.name, begun.role) != (name, role):
            raise ConflictError(
                "profile-begun",
                f"{self._folder} was begun for operator {begun.name} as {begun.role}",
                f"Finish it with `replikera operator create {begun.name} --role {begun.role}`, or name another "
                "folder",
            )
        return Prepared(begun, self._begun_key())

    def _begun_key(self) -> bytes:
        # After the certificate was saved the key has its last name.
        for name in (NEXT_KEY_FILE, KEY_FILE):
            if self._files.status(self._folder / name) is not None:
                return self._files.read_bytes(self._folder / name, limit=_LIMIT)
        raise self._damaged("holds a request without its key")

    def _read_request(self) -> OperatorRequest:
        path = self._folder / _REQUEST_FILE
        try:
            return OperatorRequest(**json.loads(self._files.read_bytes(path, limit=_LIMIT)))
        except (ValueError, TypeError) as error:
            raise self._damaged(f"holds a {_REQUEST_FILE} that cannot be read") from error

    def _damaged(self, problem: str) -> ConflictError:
        return ConflictError(
            "profile-damaged",
            f"{self._folder} {problem}",
            "Remove the folder, revoke the operator if the vault has it, and create one with another name",
        )
