"""Signed documents: a content, its kind, and the proof that the vault's signing key wrote it.

The signature covers the kind, so that a document of one kind never passes for another; the certificate has a usage
of its own, so that no key of a connection can sign a document, and the signing key can open no connection.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import DecodeError

from replikera.trust.chain import SIGNER_USAGE, SignatureError, signing_key
from replikera.wire.v1.trust_pb2 import Signed

__all__ = [
    "MAX_SIGNED_BYTES",
    "SIGNER_USAGE",
    "DocumentSigner",
    "Kind",
    "SignatureError",
    "content_of",
    "verify",
]

MAX_SIGNED_BYTES: Final = 1024 * 1024
"""A deny-list of the largest size is about 850 KiB."""

_ALGORITHM: Final = ec.ECDSA(hashes.SHA256())


class Kind(StrEnum):
    """What a signed document says."""

    GRANT = "grant"
    DENY_LIST = "deny-list"


class DocumentSigner:
    """Signs for one vault. `chain`: the signing certificate and the issuing one, PEM."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, chain: bytes) -> None:
        self._key = key
        self._chain = chain

    def sign(self, kind: Kind, content: bytes) -> bytes:
        """Return a serialised `Signed`. Raises `SignatureError` where it would be too large to be believed."""
        signed = Signed(
            content=content,
            signature=self._key.sign(_message(kind, content), _ALGORITHM),
            certificate_chain=self._chain,
        ).SerializeToString(deterministic=True)
        _check_size(signed)
        return signed


def verify(
    signed: bytes, kind: Kind, *, vault_id: str, root_certificate: bytes, now: datetime
) -> bytes:
    """Return the content of a document of this kind that the vault signed. Raises `SignatureError`."""
    document = _parsed(signed)
    key = signing_key(
        document.certificate_chain, vault_id=vault_id, root_certificate=root_certificate, now=now
    )
    try:
        key.verify(document.signature, _message(kind, document.content), _ALGORITHM)
    except InvalidSignature as error:
        raise SignatureError(f"its signature is not that of the vault over a {kind}") from error
    return document.content


def content_of(signed: bytes) -> bytes:
    """Return the content without believing it. Raises `SignatureError` where there is none."""
    return _parsed(signed).content


def _parsed(signed: bytes) -> Signed:
    _check_size(signed)
    try:
        return Signed.FromString(signed)
    except DecodeError as error:
        raise SignatureError(f"not a signed document: {error}") from error


def _check_size(signed: bytes) -> None:
    if len(signed) > MAX_SIGNED_BYTES:
        raise SignatureError(f"a signed document of {len(signed)} bytes, above {MAX_SIGNED_BYTES}")


def _message(kind: Kind, content: bytes) -> bytes:
    return f"replikera/{kind}".encode() + b"\0" + content
