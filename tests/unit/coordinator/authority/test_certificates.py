from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from coordinator.authority.certificates import (
    BACKDATE,
    LEAF_LIVES,
    Member,
    is_fresh,
    make_issuing,
    make_leaf,
    make_root,
)
from replikera.identity import Role
from replikera.trust.signing import SIGNER_USAGE
from tests.unit.coordinator.examples import NOW

ROOT = make_root(ec.generate_private_key(ec.SECP256R1()), "v-1", 1, NOW)
ISSUING = make_issuing(ROOT, ec.generate_private_key(ec.SECP256R1()), "v-1", 2, NOW)
KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
MOMENT = NOW.replace(microsecond=0)


def leaf(role: Role) -> x509.Certificate:
    return make_leaf(ISSUING, KEY, Member(role, "name-1", "v-1"), 77, NOW)


def basic(certificate: x509.Certificate) -> x509.BasicConstraints:
    return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value


def test_each_level_is_issued_by_the_one_above_and_no_deeper() -> None:
    ROOT.certificate.verify_directly_issued_by(ROOT.certificate)
    ISSUING.certificate.verify_directly_issued_by(ROOT.certificate)
    leaf(Role.HOST).verify_directly_issued_by(ISSUING.certificate)
    assert basic(ROOT.certificate) == x509.BasicConstraints(ca=True, path_length=1)
    assert basic(ISSUING.certificate) == x509.BasicConstraints(ca=True, path_length=0)
    assert basic(leaf(Role.HOST)) == x509.BasicConstraints(ca=False, path_length=None)


def test_the_issuing_certificate_may_name_members_of_its_vault_only() -> None:
    found = ISSUING.certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert found.critical
    assert found.value.permitted_subtrees == [
        x509.DNSName("v-1"),
        x509.UniformResourceIdentifier("v-1"),
    ]


@pytest.mark.parametrize("role", list(Role))
def test_a_leaf_has_one_uri_and_one_dns_name_and_no_other(role: Role) -> None:
    names = leaf(role).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [
        x509.UniformResourceIdentifier(f"spiffe://v-1/{role}/name-1"),
        x509.DNSName(f"name-1.{role}.v-1"),
    ]


@pytest.mark.parametrize(
    ("role", "usages"),
    [
        (Role.HOST, {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}),
        (Role.VAULT, {ExtendedKeyUsageOID.SERVER_AUTH}),
        (Role.OPERATOR, {ExtendedKeyUsageOID.CLIENT_AUTH}),
        (Role.SIGNER, {SIGNER_USAGE}),
    ],
)
def test_a_leaf_is_good_for_what_its_role_does(
    role: Role, usages: set[x509.ObjectIdentifier]
) -> None:
    found = leaf(role).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(found) == usages
    key_usage = leaf(role).extensions.get_extension_for_class(x509.KeyUsage).value
    assert key_usage.digital_signature
    assert not key_usage.key_cert_sign


def test_a_leaf_is_valid_from_a_little_earlier_for_the_life_of_its_role() -> None:
    assert {role: life.days for role, life in LEAF_LIVES.items()} == {
        Role.HOST: 7,
        Role.VAULT: 7,
        Role.OPERATOR: 30,
        Role.SIGNER: 90,
    }
    for role in Role:
        certificate = leaf(role)
        assert certificate.not_valid_before_utc == MOMENT - BACKDATE
        assert certificate.not_valid_after_utc == MOMENT + LEAF_LIVES[role]
        assert certificate.serial_number == 77


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (-BACKDATE, True),
        (-BACKDATE - timedelta(seconds=1), False),
        (timedelta(days=3), True),
        (timedelta(days=4), False),
        (timedelta(days=8), False),
    ],
)
def test_a_certificate_is_fresh_in_the_first_half_of_its_life(
    age: timedelta, expected: bool
) -> None:
    assert is_fresh(leaf(Role.HOST), MOMENT + age) == expected
