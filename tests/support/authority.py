"""A throw-away authority that issues certificates of any shape, wrong ones included."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from replikera.identity import Credentials, CredentialsHolder, Role, dns_name, uri_name
from replikera.trust.signing import SIGNER_USAGE, DocumentSigner

VAULT_ID = "11111111-2222-4333-8444-555555555555"

# Long enough for real time and for the tests' own.
START = datetime(2025, 1, 1, tzinfo=UTC)
END = datetime(2065, 1, 1, tzinfo=UTC)
TLS_USAGES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True)
class Authority:
    """A certificate that issues others, a root unless made by `issuing`."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    root_pem: bytes

    def issue(
        self,
        role: Role,
        name: str,
        *,
        vault_id: str = VAULT_ID,
        valid_for: timedelta = timedelta(days=7),
        uris: list[str] | None = None,
    ) -> Credentials:
        """Return credentials for a connection, valid since yesterday."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        leaf = self.leaf(
            key.public_key(),
            uris if uris is not None else [uri_name(role, name, vault_id)],
            dns=dns_name(role, name, vault_id),
            validity=(min(now, now + valid_for) - timedelta(days=1), now + valid_for),
        )
        return Credentials(pem(leaf), key_pem(key), self.root_pem)

    def holder(self, role: Role, name: str, *, vault_id: str = VAULT_ID) -> CredentialsHolder:
        return CredentialsHolder(self.issue(role, name, vault_id=vault_id))

    def signer(
        self,
        vault_id: str = VAULT_ID,
        *,
        uris: list[str] | None = None,
        usages: Sequence[x509.ObjectIdentifier] = (SIGNER_USAGE,),
        validity: tuple[datetime, datetime] = (START, END),
    ) -> DocumentSigner:
        """Return what signs documents, with an issuing certificate between it and the root."""
        issuing = self.issuing()
        key = ec.generate_private_key(ec.SECP256R1())
        names = uris if uris is not None else [uri_name(Role.SIGNER, vault_id, vault_id)]
        leaf = issuing.leaf(key.public_key(), names, usages=usages, validity=validity)
        return DocumentSigner(key, pem(leaf) + pem(issuing.certificate))

    def issuing(
        self, *, may_issue: bool = True, validity: tuple[datetime, datetime] = (START, END)
    ) -> "Authority":
        """Return an issuing certificate under this one."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder("test issuing", key.public_key(), validity).add_extension(
            x509.BasicConstraints(ca=may_issue, path_length=0 if may_issue else None), critical=True
        )
        return Authority(key, builder.sign(self.key, hashes.SHA256()), self.root_pem)

    def leaf(
        self,
        key: ec.EllipticCurvePublicKey,
        uris: Sequence[str],
        *,
        dns: str | None = None,
        usages: Sequence[x509.ObjectIdentifier] = TLS_USAGES,
        validity: tuple[datetime, datetime] = (START, END),
    ) -> x509.Certificate:
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(text) for text in uris]
        if dns is not None:
            names.insert(0, x509.DNSName(dns))
        builder = (
            self._builder("test leaf", key, validity)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(SIGNS, critical=True)
        )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def _builder(
        self, name: str, key: ec.EllipticCurvePublicKey, validity: tuple[datetime, datetime]
    ) -> x509.CertificateBuilder:
        return _builder(_name(name), self.certificate.subject, key, validity)


SIGNS = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def make_authority(validity: tuple[datetime, datetime] = (START, END)) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("test root")
    certificate = (
        _builder(name, name, key.public_key(), validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate, pem(certificate))


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    validity: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
    )
