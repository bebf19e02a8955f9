import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from coordinator.authority.requests import key_hash, requested_key
from coordinator.domain.errors import InvalidValueError
from replikera.identity import generate_private_key, signing_request

DER = serialization.Encoding.DER


def request_for(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(DER)


def test_the_key_of_a_request_is_the_one_that_signed_it() -> None:
    private_key = generate_private_key()
    found = requested_key(signing_request(private_key))
    signer = serialization.load_pem_private_key(private_key, None)
    assert found == signer.public_key()


def test_the_hash_of_a_key_is_that_of_its_public_form() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    public = key.public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert key_hash(key) == hashlib.sha256(public).digest()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"not a request",
        signing_request(generate_private_key())[:-10],
        request_for(ec.generate_private_key(ec.SECP384R1())),
        request_for(rsa.generate_private_key(65537, 2048)),
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(ed25519.Ed25519PrivateKey.generate(), None)
        .public_bytes(DER),
    ],
)
def test_anything_but_a_p256_request_is_refused(request_bytes: bytes) -> None:
    with pytest.raises(InvalidValueError) as caught:
        requested_key(request_bytes)
    assert caught.value.code == "invalid-signing-request"


def test_a_request_for_somebody_elses_key_is_refused() -> None:
    mine, victim = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    honest = request_for(mine)
    points = [
        key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        for key in (mine, victim)
    ]
    assert honest.count(points[0]) == 1
    with pytest.raises(InvalidValueError, match="does not prove possession"):
        requested_key(honest.replace(points[0], points[1]))
