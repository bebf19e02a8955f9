"""Certificates and keys of the authority as PEM files; keys are encrypted."""

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from coordinator.authority.certificates import KeyPair
from coordinator.authority.errors import AuthorityError
from replikera.durable import write_durably
from replikera.ports.files import Files

_MAX_PEM_BYTES = 64 * 1024


class UnusableError(Exception):
    """A file does not hold what it should, or the passphrase does not open it."""


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def write_key(files: Files, path: Path, key: ec.EllipticCurvePrivateKey, passphrase: bytes) -> None:
    """Keep a key in a file, encrypted, durably."""
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase),
    )
    write_durably(files, path, encrypted)


def write_pair(
    files: Files, certificate_path: Path, key_path: Path, pair: KeyPair, passphrase: bytes
) -> None:
    """Keep both, the certificate last: as long as it is missing or another's, the pair is not complete."""
    write_key(files, key_path, pair.key, passphrase)
    write_durably(files, certificate_path, pem(pair.certificate))


def read_certificate(files: Files, path: Path) -> x509.Certificate:
    """Return the certificate in a file. Raises `AuthorityError`, `UnusableError`."""
    try:
        return x509.load_pem_x509_certificate(_read(files, path))
    except ValueError as error:
        raise UnusableError(f"{path.name} is not a certificate: {error}") from error


def read_pair(files: Files, certificate_path: Path, key_path: Path, passphrase: bytes) -> KeyPair:
    """Return a certificate and its key. Raises `AuthorityError`, `UnusableError`."""
    certificate = read_certificate(files, certificate_path)
    try:
        key = serialization.load_pem_private_key(_read(files, key_path), passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableError(f"{key_path.name} does not open: {error}") from error
    is_pair = isinstance(key, ec.EllipticCurvePrivateKey) and (
        key.public_key() == certificate.public_key()
    )
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not is_pair:
        raise UnusableError(f"{key_path.name} is not the key of {certificate_path.name}")
    return KeyPair(certificate, key)


def _read(files: Files, path: Path) -> bytes:
    try:
        return files.read_bytes(path, limit=_MAX_PEM_BYTES)
    except (OSError, ValueError) as error:
        raise AuthorityError(
            "authority-unreadable",
            f"The authority's file {path} cannot be read: {error}.",
            "Restore the state directory from a backup.",
        ) from error
