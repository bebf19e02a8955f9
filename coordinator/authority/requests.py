"""Signing requests: of a stranger's request only the proof that it holds a P-256 key is believed."""

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from coordinator.domain.errors import InvalidValueError


def requested_key(signing_request: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key that a PKCS#10 request (DER) proves possession of.

    Raises `InvalidValueError`. Subject and names in the request are ignored.
    """
    try:
        request = x509.load_der_x509_csr(signing_request)
        key = request.public_key()
        is_proved = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise _invalid(f"cannot be read ({error})") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _invalid("is for a key that is not a P-256 key")
    if not is_proved:
        raise _invalid("does not prove possession of its key")
    return key


def key_hash(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the SHA-256 of a public key, by which a repeated request is recognised."""
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).digest()


def _invalid(what: str) -> InvalidValueError:
    return InvalidValueError(
        "invalid-signing-request",
        f"The certificate signing request {what}.",
        "Use the replikera-agent join of this version.",
        field="certificate_signing_request",
    )
