"""How certificates of a vault look. All keys are P-256, all names are written here."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from replikera.identity import Role, dns_name, uri_name
from replikera.trust.signing import SIGNER_USAGE

BACKDATE = timedelta(minutes=5)
"""A host's clock may be behind by this much and still believe a new certificate."""

ROOT_LIFE = timedelta(days=20 * 365)
ISSUING_LIFE = timedelta(days=10 * 365)
LEAF_LIVES = {
    Role.HOST: timedelta(days=7),
    Role.VAULT: timedelta(days=7),
    Role.OPERATOR: timedelta(days=30),
    # Renewed at half: what it signs, for a week at most, never outlives it.
    Role.SIGNER: timedelta(days=90),
}
_USAGES = {
    # A host serves other hosts and is a client of them and of the vault.
    Role.HOST: [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    Role.VAULT: [ExtendedKeyUsageOID.SERVER_AUTH],
    Role.OPERATOR: [ExtendedKeyUsageOID.CLIENT_AUTH],
    # Signs documents and opens no connection.
    Role.SIGNER: [SIGNER_USAGE],
}


@dataclass(frozen=True, slots=True)
class Member:
    """Whom a leaf names."""

    role: Role
    name: str
    vault_id: str


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate of the authority itself, with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_root(
    key: ec.EllipticCurvePrivateKey, vault_id: str, serial: int, now: datetime
) -> KeyPair:
    """Return a root that signs itself and one level of issuing certificates."""
    name = _name(f"Replikera root {vault_id}")
    builder = _builder(name, name, key.public_key(), serial, (now, ROOT_LIFE))
    builder = _for_authority(builder, path_length=1)
    return KeyPair(builder.sign(key, hashes.SHA256()), key)


def make_issuing(
    root: KeyPair, key: ec.EllipticCurvePrivateKey, vault_id: str, serial: int, now: datetime
) -> KeyPair:
    """Return an issuing certificate that may name members of this vault only."""
    builder = _builder(
        _name(f"Replikera issuing {vault_id}"),
        root.certificate.subject,
        key.public_key(),
        serial,
        (now, ISSUING_LIFE),
    )
    permitted = [x509.DNSName(vault_id), x509.UniformResourceIdentifier(vault_id)]
    builder = _for_authority(builder, path_length=0).add_extension(
        x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), critical=True
    )
    return KeyPair(_signed_by(builder, root), key)


def make_leaf(
    issuing: KeyPair,
    public_key: ec.EllipticCurvePublicKey,
    member: Member,
    serial: int,
    now: datetime,
) -> x509.Certificate:
    """Return a member's certificate: exactly one URI name and one DNS name."""
    builder = _builder(
        _name(member.name),
        issuing.certificate.subject,
        public_key,
        serial,
        (now, LEAF_LIVES[member.role]),
    )
    names = [
        x509.UniformResourceIdentifier(uri_name(member.role, member.name, member.vault_id)),
        x509.DNSName(dns_name(member.role, member.name, member.vault_id)),
    ]
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_USAGES[member.role]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    return _signed_by(builder, issuing)


def is_fresh(certificate: x509.Certificate, now: datetime) -> bool:
    """Tell whether a certificate is valid and not past half of its life."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin <= now < begin + (end - begin) / 2


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    serial: int,
    validity: tuple[datetime, timedelta],
) -> x509.CertificateBuilder:
    now, life = validity
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _for_authority(
    builder: x509.CertificateBuilder, *, path_length: int
) -> x509.CertificateBuilder:
    return builder.add_extension(
        x509.BasicConstraints(ca=True, path_length=path_length), critical=True
    ).add_extension(_key_usage(signs_certificates=True), critical=True)


def _signed_by(builder: x509.CertificateBuilder, issuer: KeyPair) -> x509.Certificate:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return builder.add_extension(identifier, critical=False).sign(issuer.key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
