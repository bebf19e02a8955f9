"""An operator's profile: which vault, where, and the certificate that says who asks."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import platformdirs
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from replikera.cli.errors import AuthenticationError
from replikera.cli.wording import duration, printable
from replikera.identity import (
    CERTIFICATE_FILE,
    KEY_FILE,
    NEXT_KEY_FILE,
    ROOT_FILE,
    Credentials,
    IdentityError,
    Role,
    dns_name,
    load_credentials,
)
from replikera.ports.files import Files

PROFILE_FILE = "profile.json"
PROFILE_VARIABLE = "REPLIKERA_PROFILE"
_MAX_PROFILE_BYTES = 64 * 1024
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
_KEYS = ("vault_id", "vault_name", "api_address")
_OURS = (KEY_FILE, NEXT_KEY_FILE, CERTIFICATE_FILE, ROOT_FILE, PROFILE_FILE)
_SOON = timedelta(days=10)
"""A third of a certificate's life."""


class ProfileError(AuthenticationError):
    """The profile folder cannot be used."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__("profile-unusable", printable(f"{path}: {problem}"), remedy)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile folder holds. `api_address` is "host:port"."""

    folder: Path
    vault_id: str
    vault_name: str
    api_address: str
    credentials: Credentials

    @property
    def vault_dns_name(self) -> str:
        """Return the name that the vault's certificate must carry."""
        return dns_name(Role.VAULT, self.vault_id, self.vault_id)


def default_profile_folder() -> Path:
    """Return where a profile is looked for when none is named."""
    return platformdirs.user_config_path("replikera", appauthor=False)


def load_profile(files: Files, folder: Path, now: datetime) -> Profile:
    """Return the profile kept in `folder`. Raises `ProfileError` naming the file and the remedy."""
    document = _read_document(files, folder / PROFILE_FILE)
    try:
        credentials = load_credentials(files, folder)
        caller = credentials.caller
    except IdentityError as error:
        raise ProfileError(folder, str(error), _remedy(error, "the profile folder")) from error
    if caller.role is not Role.OPERATOR or caller.vault_id != document["vault_id"]:
        raise ProfileError(
            folder,
            f"the certificate is that of {caller.role} {caller.name} of vault {caller.vault_id}, "
            f"not of an operator of vault {document['vault_id']}",
            _fresh_copy("the profile folder"),
        )
    _check_chain(folder, credentials)
    if caller.not_after <= now:
        raise ProfileError(
            folder,
            f"the certificate of operator {caller.name} expired at {caller.not_after:%Y-%m-%d %H:%M}Z",
            "It cannot be renewed any more: have an owner make another one with `replikera operator "
            "create`. Where no owner can come in, see `replikera-coordinator recover-owner`",
        )
    return Profile(folder, credentials=credentials, **document)


def concerns(files: Files, profile: Profile, now: datetime) -> Iterator[str]:
    """Yield what is not well with a profile that can be used, each with its remedy."""
    exposed = [name for name in _OURS if _is_exposed(files, profile.folder / name)]
    if exposed:
        yield (
            f"{', '.join(exposed)} in {profile.folder} can be read or written by other users of this "
            f"machine. Run: chmod -R go= {profile.folder}"
        )
    left = profile.credentials.caller.not_after - now
    if left < _SOON:
        yield (
            f"the certificate of operator {profile.credentials.caller.name} expires in "
            f"{duration(left.total_seconds())}. Run: replikera operator renew"
        )


def is_issued_by_root(credentials: Credentials) -> bool:
    """Tell whether the chain leads to the root by its signatures."""
    try:
        root = x509.load_pem_x509_certificate(credentials.root_certificate)
        chain = x509.load_pem_x509_certificates(credentials.certificate_chain)
        for certificate, issuer in pairwise([*chain, root]):
            certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _check_chain(folder: Path, credentials: Credentials) -> None:
    """Refuse here what the vault would refuse by hanging up, which looks like an outage."""
    if not is_issued_by_root(credentials):
        raise ProfileError(
            folder,
            f"{CERTIFICATE_FILE} was not issued by the vault of {ROOT_FILE}",
            _fresh_copy("the profile folder"),
        )


def _is_exposed(files: Files, path: Path) -> bool:
    found = files.status(path)
    return found is not None and found.is_open_to_others


def _read_document(files: Files, path: Path) -> dict[str, str]:
    try:
        document = json.loads(files.read_bytes(path, limit=_MAX_PROFILE_BYTES))
    except FileNotFoundError as error:
        raise ProfileError(
            path,
            "there is no operator profile",
            "Name the folder that `replikera-coordinator init` or `replikera operator create` made, "
            f"with --profile or {PROFILE_VARIABLE}",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        remedy = _remedy(error, PROFILE_FILE)
        raise ProfileError(path, f"cannot be read: {error}", remedy) from error
    if not isinstance(document, dict):
        raise ProfileError(path, "is not a JSON object", _fresh_copy(PROFILE_FILE))
    return {key: _text(path, document, key) for key in _KEYS}


def _text(path: Path, document: dict[str, object], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value:
        raise ProfileError(path, f"{key} is missing or not a text", _fresh_copy(PROFILE_FILE))
    if key == "api_address":
        match = _ADDRESS.fullmatch(value)
        if match is None or not 0 < int(match["port"]) < 65536:
            raise ProfileError(
                path, f"api_address {value!r} is not HOST:PORT", f"Correct api_address in {path}"
            )
    return value


def _remedy(error: Exception, what: str) -> str:
    if isinstance(error, PermissionError) or isinstance(error.__cause__, PermissionError):
        return "Run this as the user whose profile it is, or name your own with --profile"
    return _fresh_copy(what)


def _fresh_copy(what: str) -> str:
    return f"Copy {what} again from where `replikera-coordinator init` or `replikera operator create` wrote it"
