"""The authority at work: made once, opened at every start, issues leafs.

The root's key is needed only to make issuing certificates: its file may be moved to a safe place once the vault exists.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from coordinator.authority.certificates import Member, Signer, make_issuing, make_leaf, make_root
from coordinator.authority.errors import AuthorityError
from replikera.durable import write_durably
from replikera.identity import Credentials, Role, generate_private_key, root_fingerprint
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness

ROOT_FILE = "root.pem"
ROOT_KEY_FILE = "root-key.pem"
ISSUING_FILE = "issuing.pem"
ISSUING_KEY_FILE = "issuing-key.pem"
_MAX_PEM_BYTES = 64 * 1024
_SERIAL_BYTES = 16  # of the 20 that a serial number may have; unguessable


@dataclass(frozen=True, slots=True)
class Issued:
    """A new leaf with the issuing certificate after it, PEM."""

    chain: bytes
    not_after: datetime


class Authority:
    """Issues certificates for the members of one vault."""

    def __init__(
        self, vault_id: str, root_certificate: bytes, issuing: Signer, randomness: Randomness
    ) -> None:
        self.vault_id = vault_id
        self.root_certificate = root_certificate
        self._issuing = issuing
        self._randomness = randomness

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the root, by which hosts recognise the vault."""
        return root_fingerprint(self.root_certificate)

    def issue(self, role: Role, name: str, key: ec.EllipticCurvePublicKey, now: datetime) -> Issued:
        """Return a certificate for whoever holds `key`."""
        serial = _serial(self._randomness)
        member = Member(role, name, self.vault_id)
        leaf = make_leaf(self._issuing, key, member, serial, now)
        chain = _pem(leaf) + _pem(self._issuing.certificate)
        return Issued(chain, leaf.not_valid_after_utc)

    def issue_credentials(self, role: Role, name: str, now: datetime) -> Credentials:
        """Return a certificate with a new key, for the vault itself and its first operator."""
        private_key = generate_private_key()
        key = serialization.load_pem_private_key(private_key, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("the new key is not an elliptic-curve key")
        issued = self.issue(role, name, key.public_key(), now)
        return Credentials(issued.chain, private_key, self.root_certificate)


def create_authority(
    files: Files,
    folder: Path,
    vault_id: str,
    *,
    passphrase: bytes,
    randomness: Randomness,
    now: datetime,
) -> Authority:
    """Make a root and an issuing certificate and keep them in `folder`, keys encrypted."""
    root = make_root(_new_key(), vault_id, _serial(randomness), now)
    issuing = make_issuing(root, _new_key(), vault_id, _serial(randomness), now)
    files.make_directory(folder)
    for name, content in (
        (ROOT_KEY_FILE, _encrypted(root.key, passphrase)),
        (ISSUING_KEY_FILE, _encrypted(issuing.key, passphrase)),
        (ISSUING_FILE, _pem(issuing.certificate)),
        (ROOT_FILE, _pem(root.certificate)),
    ):
        write_durably(files, folder / name, content)
    return Authority(vault_id, _pem(root.certificate), issuing, randomness)


def open_authority(
    files: Files, folder: Path, vault_id: str, *, passphrase: bytes, randomness: Randomness
) -> Authority:
    """Return the authority kept in `folder`. Raises `AuthorityError`."""
    root_pem, issuing_pem, key_pem = (
        _read(files, folder / name) for name in (ROOT_FILE, ISSUING_FILE, ISSUING_KEY_FILE)
    )
    try:
        root = x509.load_pem_x509_certificate(root_pem)
        certificate = x509.load_pem_x509_certificate(issuing_pem)
        certificate.verify_directly_issued_by(root)
        key = serialization.load_pem_private_key(key_pem, passphrase)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise _damaged(folder, error) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or (
        key.public_key() != certificate.public_key()
    ):
        raise _damaged(folder, f"{ISSUING_KEY_FILE} is not the key of {ISSUING_FILE}")
    return Authority(vault_id, root_pem, Signer(certificate, key), randomness)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _serial(randomness: Randomness) -> int:
    return int.from_bytes(b"\x01" + randomness.bytes(_SERIAL_BYTES), "big")


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _encrypted(key: ec.EllipticCurvePrivateKey, passphrase: bytes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase),
    )


def _read(files: Files, path: Path) -> bytes:
    try:
        return files.read_bytes(path, limit=_MAX_PEM_BYTES)
    except (OSError, ValueError) as error:
        raise AuthorityError(
            "authority-unreadable",
            f"The authority's file {path} cannot be read: {error}.",
            "Restore the state directory from a backup.",
        ) from error


def _damaged(folder: Path, why: object) -> AuthorityError:
    return AuthorityError(
        "authority-damaged",
        f"The authority in {folder} cannot be opened: {why}.",
        "Check that passphrase_file holds the passphrase of this vault; else restore the folder from a backup.",
    )
