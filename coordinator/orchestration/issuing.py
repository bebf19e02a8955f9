"""Issuing certificates: every one is in the register from the moment in which it exists."""

from cryptography.hazmat.primitives.asymmetric import ec

from coordinator.authority.requests import key_hash
from coordinator.domain.certificates import Certificate, CertificateState
from coordinator.orchestration.vault import Vault
from replikera.identity import Role


def issue_certificate(
    vault: Vault, role: Role, name: str, public_key: ec.EllipticCurvePublicKey
) -> Certificate:
    """Return a new certificate of a member; it counts once the caller has stored it."""
    now = vault.clock.now()
    issued = vault.authority.issue(role, name, public_key, now)
    return Certificate(
        issued.serial,
        role,
        name,
        CertificateState.ISSUED,
        now,
        issued.not_after,
        key_hash(public_key),
        issued.chain,
    )
