"""The authority at work: made once, opened at every start, issues leafs.

The root's key is needed only to make issuing certificates: its file may be moved to a safe place once the vault exists.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from coordinator.authority.certificates import (
    KeyPair,
    Member,
    is_fresh,
    make_issuing,
    make_leaf,
    make_root,
)
from coordinator.authority.errors import AuthorityError
from coordinator.authority.keys import (
    UnusableError,
    new_key,
    pem,
    read_certificate,
    read_pair,
    write_key,
    write_pair,
)
from coordinator.authority.signing import SigningFiles, fresh_signing
from replikera.durable import write_durably
from replikera.identity import (
    Credentials,
    Role,
    generate_private_key,
    root_fingerprint,
    serial_text,
)
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness
from replikera.trust.signing import DocumentSigner

ROOT_FILE = "root.pem"
ROOT_KEY_FILE = "root-key.pem"
ISSUING_FILE = "issuing.pem"
ISSUING_KEY_FILE = "issuing-key.pem"
_SERIAL_BYTES = 16  # of the 20 that a serial number may have; unguessable


@dataclass(frozen=True, slots=True)
class Issued:
    """A new leaf with the issuing certificate after it, PEM. `serial` is hexadecimal."""

    chain: bytes
    serial: str
    not_after: datetime


class Authority:
    """Issues certificates for the members of one vault, and signs its documents."""

    def __init__(
        self,
        vault_id: str,
        root_certificate: bytes,
        issuing: KeyPair,
        kept: SigningFiles,
        *,
        randomness: Randomness,
        now: datetime,
    ) -> None:
        self.vault_id = vault_id
        self.root_certificate = root_certificate
        self._issuing = issuing
        self._randomness = randomness
        self._kept = kept
        self._signing = self._fresh_signing(now)

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the root, by which hosts recognise the vault."""
        return root_fingerprint(self.root_certificate)

    @property
    def signer(self) -> DocumentSigner:
        """Return what signs the vault's documents; ask anew for every document."""
        chain = pem(self._signing.certificate) + pem(self._issuing.certificate)
        return DocumentSigner(self._signing.key, chain)

    def refresh_signer(self, now: datetime) -> bool:
        """Renew the signing certificate where it is past half of its life; tell whether it was. Writes files."""
        if is_fresh(self._signing.certificate, now):
            return False
        self._signing = self._fresh_signing(now)
        return True

    def issue(self, role: Role, name: str, key: ec.EllipticCurvePublicKey, now: datetime) -> Issued:
        """Return a certificate for whoever holds `key`."""
        member = Member(role, name, self.vault_id)
        leaf = make_leaf(self._issuing, key, member, _serial(self._randomness), now)
        chain = pem(leaf) + pem(self._issuing.certificate)
        return Issued(chain, serial_text(leaf.serial_number), leaf.not_valid_after_utc)

    def issue_credentials(self, role: Role, name: str, now: datetime) -> Credentials:
        """Return a certificate with a new key, for the vault itself and its first operator."""
        private_key = generate_private_key()
        key = serialization.load_pem_private_key(private_key, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("the new key is not an elliptic-curve key")
        issued = self.issue(role, name, key.public_key(), now)
        return Credentials(issued.chain, private_key, self.root_certificate)

    def _fresh_signing(self, now: datetime) -> KeyPair:
        serial = _serial(self._randomness)
        return fresh_signing(self._kept, self._issuing, self.vault_id, serial, now)


def create_authority(
    files: Files,
    folder: Path,
    vault_id: str,
    *,
    passphrase: bytes,
    randomness: Randomness,
    now: datetime,
) -> Authority:
    """Make a root, an issuing and a signing certificate and keep them in `folder`, keys encrypted."""
    root = make_root(new_key(), vault_id, _serial(randomness), now)
    issuing = make_issuing(root, new_key(), vault_id, _serial(randomness), now)
    files.make_directory(folder)
    write_key(files, folder / ROOT_KEY_FILE, root.key, passphrase)
    write_pair(files, folder / ISSUING_FILE, folder / ISSUING_KEY_FILE, issuing, passphrase)
    write_durably(files, folder / ROOT_FILE, pem(root.certificate))
    kept = SigningFiles(files, folder, passphrase)
    return Authority(vault_id, pem(root.certificate), issuing, kept, randomness=randomness, now=now)


def open_authority(
    files: Files,
    folder: Path,
    vault_id: str,
    *,
    passphrase: bytes,
    randomness: Randomness,
    now: datetime,
) -> Authority:
    """Return the authority kept in `folder`. Raises `AuthorityError`."""
    try:
        root = read_certificate(files, folder / ROOT_FILE)
        issuing = read_pair(files, folder / ISSUING_FILE, folder / ISSUING_KEY_FILE, passphrase)
        issuing.certificate.verify_directly_issued_by(root)
    except (UnusableError, ValueError, TypeError, InvalidSignature) as error:
        raise _damaged(folder, error) from error
    kept = SigningFiles(files, folder, passphrase)
    return Authority(vault_id, pem(root), issuing, kept, randomness=randomness, now=now)


def _serial(randomness: Randomness) -> int:
    return int.from_bytes(b"\x01" + randomness.bytes(_SERIAL_BYTES), "big")


def _damaged(folder: Path, why: object) -> AuthorityError:
    return AuthorityError(
        "authority-damaged",
        f"The authority in {folder} cannot be opened: {why}.",
        "Check that passphrase_file holds the passphrase of this vault; else restore the folder from a backup.",
    )
