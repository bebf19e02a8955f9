"""Every check of the chain can fail alone."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from replikera.identity import Role, uri_name
from replikera.trust.chain import MAX_CHAIN_BYTES, SIGNER_USAGE, SignatureError, signing_key
from tests.support.authority import END, START, VAULT_ID, Authority, make_authority, pem
from tests.unit.replikera.trust.examples import NOW

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
SIGNER_NAME = uri_name(Role.SIGNER, VAULT_ID, VAULT_ID)
PAST = (START, NOW - timedelta(seconds=1))
FUTURE = (NOW + timedelta(seconds=1), END)


@pytest.fixture(scope="module")
def root() -> Authority:
    return make_authority()


@pytest.fixture(scope="module")
def issuing(root: Authority) -> Authority:
    return root.issuing()


def signer(
    issuing: Authority,
    *,
    uris: Sequence[str] = (SIGNER_NAME,),
    usages: Sequence[x509.ObjectIdentifier] = (SIGNER_USAGE,),
    validity: tuple[datetime, datetime] = (START, END),
) -> bytes:
    return pem(issuing.leaf(KEY, uris, usages=usages, validity=validity))


def judge(chain: bytes, root: Authority) -> ec.EllipticCurvePublicKey:
    return signing_key(chain, vault_id=VAULT_ID, root_certificate=root.root_pem, now=NOW)


def refusal(chain: bytes, root: Authority) -> str:
    with pytest.raises(SignatureError) as caught:
        judge(chain, root)
    return str(caught.value)


def test_a_signer_of_the_vault_is_believed(root: Authority, issuing: Authority) -> None:
    assert judge(signer(issuing) + pem(issuing.certificate), root) == KEY


def test_a_chain_of_another_vault_is_not(root: Authority, issuing: Authority) -> None:
    chain = signer(issuing) + pem(issuing.certificate)
    assert "the issuing certificate" in refusal(chain, make_authority())
    assert "was not issued by this vault" in refusal(chain, make_authority())


def test_a_signer_of_another_issuing_certificate_is_not(
    root: Authority, issuing: Authority
) -> None:
    text = refusal(signer(root.issuing()) + pem(issuing.certificate), root)
    assert "the signing certificate" in text


@pytest.mark.parametrize("validity", [PAST, FUTURE])
def test_every_certificate_must_be_valid_now(
    root: Authority, issuing: Authority, validity: tuple[datetime, datetime]
) -> None:
    late_signer = signer(issuing, validity=validity)
    assert "the signing certificate" in refusal(late_signer + pem(issuing.certificate), root)
    late = root.issuing(validity=validity)
    assert "the issuing certificate" in refusal(signer(late) + pem(late.certificate), root)
    old_root = make_authority(validity)
    middle = old_root.issuing()
    assert "the root certificate" in refusal(signer(middle) + pem(middle.certificate), old_root)


@pytest.mark.parametrize(
    "usages",
    [
        (),
        (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
        (SIGNER_USAGE, ExtendedKeyUsageOID.SERVER_AUTH),
        (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,),
    ],
)
def test_a_certificate_for_anything_but_signing_is_refused(
    root: Authority, issuing: Authority, usages: tuple[x509.ObjectIdentifier, ...]
) -> None:
    text = refusal(signer(issuing, usages=usages) + pem(issuing.certificate), root)
    assert "not one of a signer alone" in text


@pytest.mark.parametrize(
    "uris",
    [
        [],
        [SIGNER_NAME, SIGNER_NAME],
        [uri_name(Role.HOST, VAULT_ID, VAULT_ID)],
        [uri_name(Role.SIGNER, "another", VAULT_ID)],
        [uri_name(Role.SIGNER, VAULT_ID, "another")],
    ],
)
def test_a_certificate_with_another_name_is_refused(
    root: Authority, issuing: Authority, uris: list[str]
) -> None:
    assert "not the signer of" in refusal(
        signer(issuing, uris=uris or ["spiffe://nobody"]) + pem(issuing.certificate), root
    )


def test_what_a_host_issues_is_not_believed(root: Authority, issuing: Authority) -> None:
    host_key = ec.generate_private_key(ec.SECP256R1())
    certificate = root.leaf(host_key.public_key(), ["spiffe://v/host/h"])
    host = Authority(host_key, certificate, root.root_pem)
    assert "the issuing certificate may not issue" in refusal(signer(host) + pem(certificate), root)


def test_an_issuing_certificate_that_is_no_authority_is_refused(root: Authority) -> None:
    tame = root.issuing(may_issue=False)
    assert "may not issue" in refusal(signer(tame) + pem(tame.certificate), root)


@pytest.mark.parametrize(
    ("basic", "usage"), [(False, True), (True, False), (None, True), (False, None)]
)
def test_a_certificate_that_may_not_sign_is_refused(
    root: Authority, issuing: Authority, basic: bool | None, usage: bool | None
) -> None:
    chain = pem(bare_signer(issuing, KEY, basic, usage)) + pem(issuing.certificate)
    if (basic, usage) == (False, True):
        assert judge(chain, root) == KEY
    else:
        assert "may not sign documents" in refusal(chain, root)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
    ],
)
def test_a_key_that_is_not_p256_is_refused(
    root: Authority,
    issuing: Authority,
    key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
) -> None:
    chain = pem(bare_signer(issuing, key, False, True)) + pem(issuing.certificate)
    assert "not a P-256 key" in refusal(chain, root)


def test_anything_but_two_certificates_is_refused(root: Authority, issuing: Authority) -> None:
    leaf, middle = signer(issuing), pem(issuing.certificate)
    assert "a chain of 1 certificates" in refusal(leaf, root)
    assert "a chain of 3 certificates" in refusal(leaf + middle + root.root_pem, root)
    assert "was not issued" in refusal(middle + leaf, root)
    assert "cannot be read" in refusal(b"", root)
    assert "cannot be read" in refusal(leaf[:-40] + middle, root)
    assert "bytes" in refusal(leaf + middle + b"\n" * MAX_CHAIN_BYTES, root)


def test_a_root_that_is_none_is_refused(issuing: Authority) -> None:
    with pytest.raises(SignatureError, match="the trusted root cannot be read"):
        signing_key(
            signer(issuing) + pem(issuing.certificate),
            vault_id=VAULT_ID,
            root_certificate=b"",
            now=NOW,
        )


def bare_signer(
    issuing: Authority,
    key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
    is_authority: bool | None,
    may_sign: bool | None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuing.certificate.subject)
        .public_key(key)
        .serial_number(5)
        .not_valid_before(START)
        .not_valid_after(END)
        .add_extension(x509.ExtendedKeyUsage([SIGNER_USAGE]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SIGNER_NAME)]),
            critical=False,
        )
    )
    if is_authority is not None:
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
    if may_sign is not None:
        flags = dict.fromkeys(
            (
                "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                "crl_sign", "encipher_only", "decipher_only",
            ),
            False,
        )  # fmt: skip
        usage = x509.KeyUsage(digital_signature=may_sign, key_cert_sign=not may_sign, **flags)
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(issuing.key, hashes.SHA256())
