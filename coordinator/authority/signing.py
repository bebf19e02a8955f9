"""The vault's signing certificate and its key, kept beside the issuing one.

Losing it costs nothing: what it signed stays valid, and a new one is made.
"""

from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature

from coordinator.authority.certificates import KeyPair, Member, is_fresh, make_leaf
from coordinator.authority.errors import AuthorityError
from coordinator.authority.keys import UnusableError, new_key, read_pair, write_pair
from replikera.identity import Role
from replikera.ports.files import Files

SIGNING_FILE = "signing.pem"
SIGNING_KEY_FILE = "signing-key.pem"


class SigningFiles:
    """Where the signing certificate is kept, and the passphrase of its key."""

    def __init__(self, files: Files, folder: Path, passphrase: bytes) -> None:
        self._files = files
        self._certificate = folder / SIGNING_FILE
        self._key = folder / SIGNING_KEY_FILE
        self._passphrase = passphrase

    def load(self, issuing: KeyPair) -> KeyPair | None:
        """Return what is kept, None where it is missing, damaged or of another authority."""
        try:
            pair = read_pair(self._files, self._certificate, self._key, self._passphrase)
            pair.certificate.verify_directly_issued_by(issuing.certificate)
        except (AuthorityError, UnusableError, ValueError, TypeError, InvalidSignature):
            return None
        return pair

    def save(self, pair: KeyPair) -> None:
        """Keep this one from now on."""
        write_pair(self._files, self._certificate, self._key, pair, self._passphrase)


def fresh_signing(
    kept: SigningFiles, issuing: KeyPair, vault_id: str, serial: int, now: datetime
) -> KeyPair:
    """Return the signing pair, made anew where it is missing, unusable or past half of its life."""
    pair = kept.load(issuing)
    if pair is not None and is_fresh(pair.certificate, now):
        return pair
    key = new_key()
    member = Member(Role.SIGNER, vault_id, vault_id)
    made = KeyPair(make_leaf(issuing, key.public_key(), member, serial, now), key)
    kept.save(made)
    return made
