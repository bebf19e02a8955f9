"""The passphrase that the authority's keys are encrypted with: kept in a file, never in settings or arguments."""

import base64
from pathlib import Path

from coordinator.authority.errors import AuthorityError
from replikera.durable import write_durably
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness

_MAX_BYTES = 1024
_SECRET_BYTES = 32


def read_passphrase(files: Files, path: Path) -> bytes:
    """Return the passphrase in the file, without blanks around it. Raises `AuthorityError`."""
    try:
        passphrase = files.read_bytes(path, limit=_MAX_BYTES).strip()
    except (OSError, ValueError) as error:
        raise AuthorityError(
            "passphrase-unreadable",
            f"The passphrase file {path} cannot be read: {error}.",
            "Put it back, or correct passphrase_file in the settings.",
        ) from error
    if not passphrase:
        raise AuthorityError(
            "passphrase-empty",
            f"The passphrase file {path} is empty.",
            "Put the passphrase back that was in it when the vault was made.",
        )
    return passphrase


def read_or_create_passphrase(files: Files, path: Path, randomness: Randomness) -> bytes:
    """Return the passphrase in the file; a missing file is made with a random one."""
    if files.status(path) is None:
        files.make_directory(path.parent)
        secret = base64.urlsafe_b64encode(randomness.bytes(_SECRET_BYTES))
        write_durably(files, path, secret + b"\n")
    return read_passphrase(files, path)
