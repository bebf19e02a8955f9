import re
import ssl
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from replikera.trust.signing import (
    MAX_SIGNED_BYTES,
    DocumentSigner,
    Kind,
    SignatureError,
    content_of,
    verify,
)
from replikera.wire.v1.trust_pb2 import Signed
from tests.support.authority import START, VAULT_ID, make_authority, pem
from tests.unit.replikera.trust.examples import NOW

AUTHORITY = make_authority()
SIGNER = AUTHORITY.signer()
SIGNED = SIGNER.sign(Kind.GRANT, b"what is granted")


def opened(signed: bytes, kind: Kind = Kind.GRANT) -> bytes:
    return verify(signed, kind, vault_id=VAULT_ID, root_certificate=AUTHORITY.root_pem, now=NOW)


def flipped(content: bytes, at: int) -> bytes:
    damaged = bytearray(content)
    damaged[at] ^= 0x10
    return bytes(damaged)


@given(st.binary(max_size=1000), st.sampled_from(Kind))
def test_what_was_signed_is_what_is_read(content: bytes, kind: Kind) -> None:
    signed = SIGNER.sign(kind, content)
    assert opened(signed, kind) == content
    assert content_of(signed) == content


def test_a_document_of_one_kind_does_not_pass_for_another() -> None:
    with pytest.raises(SignatureError, match="over a deny-list"):
        opened(SIGNED, Kind.DENY_LIST)


def test_a_signature_without_a_kind_is_none() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    document = Signed.FromString(SIGNED)
    document.signature = key.sign(document.content, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(SignatureError):
        opened(document.SerializeToString())


@pytest.mark.parametrize("field", ["content", "signature"])
def test_every_flipped_byte_is_noticed(field: str) -> None:
    for at in range(len(getattr(Signed.FromString(SIGNED), field))):
        document = Signed.FromString(SIGNED)
        setattr(document, field, flipped(getattr(document, field), at))
        with pytest.raises(SignatureError):
            opened(document.SerializeToString())


@pytest.mark.parametrize("which", [0, 1])
def test_every_flipped_byte_of_a_certificate_is_noticed(which: int) -> None:
    chain = x509.load_pem_x509_certificates(Signed.FromString(SIGNED).certificate_chain)
    certificates = [each.public_bytes(serialization.Encoding.DER) for each in chain]
    for at in range(0, len(certificates[which]), 7):
        damaged = list(certificates)
        damaged[which] = flipped(damaged[which], at)
        document = Signed.FromString(SIGNED)
        document.certificate_chain = "".join(map(ssl.DER_cert_to_PEM_cert, damaged)).encode()
        with pytest.raises(SignatureError):
            opened(document.SerializeToString())


@given(st.binary(max_size=300))
def test_bytes_that_are_no_document_are_refused(noise: bytes) -> None:
    with pytest.raises(SignatureError):
        opened(noise)


@given(st.integers(0, len(SIGNED) - 1))
def test_a_document_cut_short_is_refused(length: int) -> None:
    with pytest.raises(SignatureError):
        opened(SIGNED[:length])


def test_a_deeply_nested_document_is_refused() -> None:
    with pytest.raises(SignatureError, match="not a signed document"):
        opened(b"\x23" * 4000 + b"\x24" * 4000)


def test_a_document_that_is_too_large_is_neither_made_nor_read() -> None:
    with pytest.raises(SignatureError, match="bytes"):
        SIGNER.sign(Kind.GRANT, bytes(MAX_SIGNED_BYTES))
    with pytest.raises(SignatureError, match="bytes"):
        opened(SIGNED + bytes(MAX_SIGNED_BYTES))
    with pytest.raises(SignatureError, match="bytes"):
        content_of(SIGNED + bytes(MAX_SIGNED_BYTES))


def test_a_signer_of_another_vault_is_refused() -> None:
    with pytest.raises(SignatureError, match="not the signer of"):
        opened(AUTHORITY.signer("another-vault").sign(Kind.GRANT, b""))
    with pytest.raises(SignatureError, match="not issued by this vault"):
        opened(make_authority().signer().sign(Kind.GRANT, b""))


def test_a_signer_that_has_expired_is_refused_by_its_dates() -> None:
    past = NOW - timedelta(days=1)
    with pytest.raises(SignatureError, match=re.escape(f"to {past:%Y-%m-%d}")):
        opened(AUTHORITY.signer(validity=(START, past)).sign(Kind.GRANT, b""))


def test_the_key_of_a_connection_signs_nothing() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    host = AUTHORITY.issuing().leaf(key.public_key(), [f"spiffe://{VAULT_ID}/host/h"])
    chain = Signed.FromString(SIGNED).certificate_chain
    middle = chain[chain.rindex(b"-----BEGIN") :]
    with pytest.raises(SignatureError):
        opened(DocumentSigner(key, pem(host) + middle).sign(Kind.GRANT, b""))
