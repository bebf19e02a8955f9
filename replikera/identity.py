"""What a daemon or an operator proves about itself: names in certificates, keys, requests for certificates.

A leaf carries exactly one URI name, which servers authorise by, and exactly one DNS name, which clients pin: the
Python gRPC client cannot check a URI.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from replikera.durable import remove_durably, write_durably
from replikera.ports.files import Files

CERTIFICATE_FILE = "certificate.pem"
KEY_FILE = "key.pem"
NEXT_KEY_FILE = "next-key.pem"
"""Only while a certificate is replaced."""

ROOT_FILE = "root.pem"
RENEWAL_JITTER = 1 / 20
"""Share of a life by which renewals are spread around its half, so that members do not come all at once."""

_MAX_PEM_BYTES = 64 * 1024  # a chain of three P-256 certificates is about 3 KiB


class IdentityError(ValueError):
    """A certificate, key or folder does not hold an identity of this product."""


class Role(StrEnum):
    """What a certificate's holder is."""

    HOST = "host"
    OPERATOR = "operator"
    VAULT = "vault"
    SIGNER = "signer"


@dataclass(frozen=True, slots=True)
class Caller:
    """The identity that a certificate proves. `name` is a host id, an operator's name or the vault id."""

    role: Role
    name: str
    vault_id: str
    serial: int
    not_after: datetime

    @property
    def certificate_id(self) -> str:
        """Return the serial as the vault's register writes it."""
        return serial_text(self.serial)

    @property
    def uri(self) -> str:
        """Return the URI name of this identity."""
        return uri_name(self.role, self.name, self.vault_id)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A certificate chain (leaf first), its private key and the vault's root, all PEM."""

    certificate_chain: bytes
    private_key: bytes
    root_certificate: bytes

    @property
    def caller(self) -> Caller:
        """Return the identity that these credentials prove."""
        return caller_from_certificate(self.certificate_chain)


class CredentialsHolder:
    """The newest credentials of a daemon, shared by all that present them.

    `replace` is called on the event loop; `current` may be read anywhere.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._current = credentials
        self._subscribers: list[Callable[[Credentials], None]] = []

    @property
    def current(self) -> Credentials:
        """Return the newest credentials."""
        return self._current

    def replace(self, credentials: Credentials) -> None:
        """Use these from now on, and tell all subscribers."""
        self._current = credentials
        for callback in self._subscribers:
            callback(credentials)

    def subscribe(self, callback: Callable[[Credentials], None]) -> None:
        """Have `callback` called with every later replacement."""
        self._subscribers.append(callback)


def serial_text(serial: int) -> str:
    """Return a serial number as registers and messages write it: hexadecimal."""
    return f"{serial:x}"


def uri_name(role: Role, name: str, vault_id: str) -> str:
    """Return the URI that a leaf of this identity carries."""
    return f"spiffe://{vault_id}/{role}/{name}"


def dns_name(role: Role, name: str, vault_id: str) -> str:
    """Return the DNS name that a leaf of this identity carries."""
    return f"{name}.{role}.{vault_id}"


def caller_from_certificate(pem: bytes) -> Caller:
    """Return the identity of the first certificate in `pem`. Raises `IdentityError`."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise IdentityError(f"not a certificate of a vault: {error}") from error
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise IdentityError(f"a certificate with {len(uris)} URI names, expected one")
    role, name, vault_id = parse_uri_name(uris[0])
    return Caller(role, name, vault_id, certificate.serial_number, certificate.not_valid_after_utc)


def parse_uri_name(uri: str) -> tuple[Role, str, str]:
    """Return role, name and vault id of a URI name. Raises `IdentityError`."""
    parts = urlsplit(uri)
    path = parts.path.split("/")
    if parts.scheme != "spiffe" or not parts.netloc or len(path) != 3 or not path[2]:
        raise IdentityError(f"the name {uri!r} is not one of a vault")
    try:
        return Role(path[1]), path[2], parts.netloc
    except ValueError as error:
        raise IdentityError(f"the name {uri!r} has an unknown role") from error


def renewal_time(certificate_chain: bytes, jitter: float = 0.0) -> datetime:
    """Return when the first certificate is to be renewed: at half of its life, moved by `jitter` of the whole.

    Callers draw `jitter` between -RENEWAL_JITTER and RENEWAL_JITTER. Raises `IdentityError`.
    """
    try:
        certificate = x509.load_pem_x509_certificate(certificate_chain)
    except ValueError as error:
        raise IdentityError(f"not a certificate of a vault: {error}") from error
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * (0.5 + jitter)


def generate_private_key() -> bytes:
    """Return a new P-256 key, PKCS#8 PEM, not encrypted."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def signing_request(private_key: bytes) -> bytes:
    """Return a certificate signing request, DER, that proves possession of the key."""
    key = serialization.load_pem_private_key(private_key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityError("the private key is not an elliptic-curve key")
    # The vault writes every name itself: the request carries none.
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def root_fingerprint(root_certificate: bytes) -> str:
    """Return the SHA-256 of the root's DER, hexadecimal. Raises `IdentityError`."""
    try:
        certificate = x509.load_pem_x509_certificate(root_certificate)
    except ValueError as error:
        raise IdentityError(f"not a root certificate: {error}") from error
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def save_credentials(files: Files, folder: Path, credentials: Credentials) -> None:
    """Write the credentials into `folder`, durably.

    What a crash leaves in a folder that held others loads as the old ones or as the new ones: the new key is there
    before the certificate that it belongs to, and the old one until that has replaced its own.
    """
    files.make_directory(folder)
    write_durably(files, folder / NEXT_KEY_FILE, credentials.private_key)
    write_durably(files, folder / ROOT_FILE, credentials.root_certificate)
    write_durably(files, folder / CERTIFICATE_FILE, credentials.certificate_chain)
    write_durably(files, folder / KEY_FILE, credentials.private_key)
    remove_durably(files, folder / NEXT_KEY_FILE)


def load_credentials(files: Files, folder: Path) -> Credentials:
    """Return the credentials kept in `folder`. Raises `IdentityError` that names the missing or bad file."""
    chain, root = (_read(files, folder / name) for name in (CERTIFICATE_FILE, ROOT_FILE))
    credentials = Credentials(chain, _matching_key(files, folder, chain), root)
    _ = credentials.caller
    return credentials


def _matching_key(files: Files, folder: Path, chain: bytes) -> bytes:
    has_next = files.status(folder / NEXT_KEY_FILE) is not None
    for path in (folder / KEY_FILE, *((folder / NEXT_KEY_FILE,) if has_next else ())):
        pem = _read(files, path)
        if _is_pair(folder, pem, chain):
            return pem
    raise IdentityError(f"in {folder}, {KEY_FILE} is not the key of {CERTIFICATE_FILE}")


def _is_pair(folder: Path, key_pem: bytes, chain: bytes) -> bool:
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
        leaf = x509.load_pem_x509_certificate(chain)
    except (ValueError, TypeError) as error:
        raise IdentityError(f"the identity in {folder} is damaged: {error}") from error
    return key.public_key() == leaf.public_key()


def _read(files: Files, path: Path) -> bytes:
    try:
        return files.read_bytes(path, limit=_MAX_PEM_BYTES)
    except (OSError, ValueError) as error:
        raise IdentityError(f"no identity in {path.parent}: {error}") from error
