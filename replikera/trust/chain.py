"""The certificate chain of a signed document: signer, issuing certificate, the root that this host was told to trust.

Written out check by check: the library's own verification knows names of web servers, not URIs nor usages of ours.
"""

from datetime import datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from replikera.identity import Role, serial_text, uri_name

SIGNER_USAGE: Final = x509.ObjectIdentifier("2.25.180079997946673399056796664830542249866")
"""The extended key usage of the vault's signing certificate, and of no other: a UUID of its own."""

MAX_CHAIN_BYTES: Final = 16 * 1024
"""A signer and its issuing certificate are about 2 KiB."""

Extension = TypeVar("Extension", bound=x509.ExtensionType)


class SignatureError(ValueError):
    """A document is not what the vault's signing key signed."""


def signing_key(
    chain: bytes, *, vault_id: str, root_certificate: bytes, now: datetime
) -> ec.EllipticCurvePublicKey:
    """Return the key of the first certificate in `chain` if it signs for the vault now. Raises `SignatureError`."""
    signer, issuing = _pair(chain)
    root = _root(root_certificate)
    for certificate, what in ((root, "root"), (issuing, "issuing"), (signer, "signing")):
        _check_time(certificate, what, now)
    _check_issued(issuing, root, "issuing")
    _check_issued(signer, issuing, "signing")
    _check_is_authority(root, "root")
    _check_is_authority(issuing, "issuing")
    _check_is_signer(signer, vault_id)
    return _p256(signer)


def _pair(chain: bytes) -> tuple[x509.Certificate, x509.Certificate]:
    if len(chain) > MAX_CHAIN_BYTES:
        raise SignatureError(f"a certificate chain of {len(chain)} bytes")
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError as error:
        raise SignatureError(f"its certificate chain cannot be read: {error}") from error
    if len(certificates) != 2:
        raise SignatureError(f"a chain of {len(certificates)} certificates, expected two")
    return certificates[0], certificates[1]


def _root(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise SignatureError(f"the trusted root cannot be read: {error}") from error


def _check_time(certificate: x509.Certificate, what: str, now: datetime) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= now < end:
        raise SignatureError(
            f"the {what} certificate {serial_text(certificate.serial_number)} is valid "
            f"from {begin:%Y-%m-%dT%H:%M:%SZ} to {end:%Y-%m-%dT%H:%M:%SZ} only"
        )


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate, what: str) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise SignatureError(
            f"the {what} certificate {serial_text(certificate.serial_number)} "
            "was not issued by this vault"
        ) from error


def _check_is_authority(certificate: x509.Certificate, what: str) -> None:
    basic = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    # The root of an authority may leave its usage open; where one is stated it has to be this one.
    if basic is None or not basic.ca or (usage is not None and not usage.key_cert_sign):
        raise SignatureError(f"the {what} certificate may not issue certificates")


def _check_is_signer(certificate: x509.Certificate, vault_id: str) -> None:
    basic = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    if basic is None or basic.ca or usage is None or not usage.digital_signature:
        raise SignatureError("the signing certificate may not sign documents")
    if purposes is None or list(purposes) != [SIGNER_USAGE]:
        raise SignatureError("the certificate is not one of a signer alone")
    names = _extension(certificate, x509.SubjectAlternativeName)
    uris = names.get_values_for_type(x509.UniformResourceIdentifier) if names else []
    if uris != [uri_name(Role.SIGNER, vault_id, vault_id)]:
        raise SignatureError(f"the signing certificate names {uris}, not the signer of {vault_id}")


def _extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except ValueError as error:
        raise SignatureError(f"an extension of a certificate cannot be read: {error}") from error


def _p256(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"the signing certificate's key cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SignatureError("the signing certificate's key is not a P-256 key")
    return key
