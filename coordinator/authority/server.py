"""The certificate that the vault's listeners present."""

from datetime import datetime
from pathlib import Path

from cryptography import x509

from coordinator.authority.authority import Authority
from coordinator.authority.certificates import is_fresh
from replikera.identity import Credentials, IdentityError, Role, load_credentials, save_credentials
from replikera.ports.files import Files


def server_credentials(
    files: Files, folder: Path, authority: Authority, now: datetime
) -> Credentials:
    """Return the listeners' credentials, made anew where they are missing, foreign or past half of their life."""
    try:
        kept = load_credentials(files, folder)
    except IdentityError:
        kept = None
    if kept is not None and _is_fresh(kept, authority, now):
        return kept
    made = authority.issue_credentials(Role.VAULT, authority.vault_id, now)
    save_credentials(files, folder, made)
    return made


def _is_fresh(kept: Credentials, authority: Authority, now: datetime) -> bool:
    leaf = x509.load_pem_x509_certificate(kept.certificate_chain)
    return kept.root_certificate == authority.root_certificate and is_fresh(leaf, now)
