from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from replikera.trust.deny_list import (
    MAX_DENIED,
    DeniedCertificate,
    DenyList,
    DenyListError,
    open_deny_list,
    reopen_deny_list,
    sign_deny_list,
)
from replikera.trust.signing import MAX_SIGNED_BYTES, Kind, content_of
from replikera.wire.v1 import trust_pb2
from tests.support.authority import START, VAULT_ID, make_authority
from tests.unit.replikera.trust.examples import DENY_LIST, NOW, deny_lists

AUTHORITY = make_authority()
SIGNER = AUTHORITY.signer()
NAME = f"spiffe://{VAULT_ID}/host/aaaaaaaa-0000-4000-8000-000000000001"


def opened(signed: bytes) -> DenyList:
    return open_deny_list(signed, vault_id=VAULT_ID, root_certificate=AUTHORITY.root_pem, now=NOW)


def reopened(signed: bytes) -> DenyList:
    return reopen_deny_list(signed, vault_id=VAULT_ID, root_certificate=AUTHORITY.root_pem)


def signed_with(certificate: trust_pb2.DeniedCertificate) -> bytes:
    message = trust_pb2.DenyList.FromString(content_of(sign_deny_list(SIGNER, DENY_LIST)))
    message.certificates.append(certificate)
    return SIGNER.sign(Kind.DENY_LIST, message.SerializeToString())


@given(deny_lists)
def test_a_list_comes_back_as_it_was(deny_list: DenyList) -> None:
    assert opened(sign_deny_list(SIGNER, deny_list)) == deny_list


def test_the_same_list_has_the_same_content() -> None:
    names = frozenset(f"{NAME}{number}" for number in range(50))
    content = content_of(sign_deny_list(SIGNER, replace(DENY_LIST, identities=names)))
    assert list(trust_pb2.DenyList.FromString(content).identities) == sorted(names)


def test_a_serial_has_no_leading_zeros_on_the_wire() -> None:
    message = trust_pb2.DenyList.FromString(content_of(sign_deny_list(SIGNER, DENY_LIST)))
    assert message.certificates[0].serial == b"\x01\xff"


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        (trust_pb2.DeniedCertificate(identity=NAME), "serial"),
        (trust_pb2.DeniedCertificate(serial=b"\0\1", identity=NAME), "serial"),
        (trust_pb2.DeniedCertificate(serial=b"\1" * 21, identity=NAME), "serial"),
        (trust_pb2.DeniedCertificate(serial=b"\1", identity="h"), "not a name"),
        (trust_pb2.DeniedCertificate(serial=b"\1", identity=NAME + "x" * 256), "not a name"),
        (trust_pb2.DeniedCertificate(serial=b"\1", identity=NAME), "not_after"),
    ],
)
def test_every_field_of_a_certificate_is_checked(
    certificate: trust_pb2.DeniedCertificate, why: str
) -> None:
    with pytest.raises(DenyListError, match=why):
        opened(signed_with(certificate))


def test_every_field_of_the_list_is_checked() -> None:
    content = content_of(sign_deny_list(SIGNER, DENY_LIST))
    for name, value in (("vault_id", "a/b"), ("version", 0)):
        message = trust_pb2.DenyList.FromString(content)
        setattr(message, name, value)
        with pytest.raises(DenyListError, match=name):
            opened(SIGNER.sign(Kind.DENY_LIST, message.SerializeToString()))
    message = trust_pb2.DenyList.FromString(content)
    message.issued_at.CopyFrom(Timestamp())
    with pytest.raises(DenyListError, match="issued_at"):
        opened(SIGNER.sign(Kind.DENY_LIST, message.SerializeToString()))
    message = trust_pb2.DenyList.FromString(content)
    message.identities.append("h3")
    with pytest.raises(DenyListError, match="not a name"):
        opened(SIGNER.sign(Kind.DENY_LIST, message.SerializeToString()))


def test_a_full_list_fits_and_a_longer_one_is_refused_at_both_ends() -> None:
    until = NOW + timedelta(days=30)
    denied = [DeniedCertificate((1 << 135) + at, NAME, until) for at in range(MAX_DENIED + 1)]
    names = [f"spiffe://{VAULT_ID}/host/{at:036}" for at in range(MAX_DENIED + 1)]
    full = replace(DENY_LIST, certificates=tuple(denied[1:]), identities=frozenset(names[1:]))
    signed = sign_deny_list(SIGNER, full)
    assert len(signed) < MAX_SIGNED_BYTES
    assert opened(signed) == full
    with pytest.raises(DenyListError, match="4097 certificates"):
        sign_deny_list(SIGNER, replace(full, certificates=tuple(denied)))
    with pytest.raises(DenyListError, match="4097 identities"):
        sign_deny_list(SIGNER, replace(full, identities=frozenset(names)))
    longer = trust_pb2.DenyList(identities=names).SerializeToString()
    with pytest.raises(DenyListError, match="4097 identities"):
        opened(SIGNER.sign(Kind.DENY_LIST, longer))


@given(st.binary(max_size=200), st.integers(0, 300))
def test_a_strange_content_is_a_list_or_an_error_of_lists(noise: bytes, at: int) -> None:
    content = content_of(sign_deny_list(SIGNER, DENY_LIST))
    for strange in (noise, content[:at] + noise, content + noise, noise + content):
        with suppress(DenyListError):
            assert isinstance(opened(SIGNER.sign(Kind.DENY_LIST, strange)), DenyList)


def test_a_list_of_another_vault_or_of_another_kind_is_refused() -> None:
    with pytest.raises(DenyListError, match="is of vault another"):
        opened(sign_deny_list(SIGNER, replace(DENY_LIST, vault_id="another")))
    with pytest.raises(DenyListError, match="signature"):
        opened(SIGNER.sign(Kind.GRANT, content_of(sign_deny_list(SIGNER, DENY_LIST))))
    with pytest.raises(DenyListError):
        opened(SIGNER.sign(Kind.DENY_LIST, b"\xff"))


def test_a_kept_list_outlives_the_certificate_that_signed_it() -> None:
    brief = AUTHORITY.signer(validity=(START, NOW + timedelta(seconds=1)))
    signed = sign_deny_list(brief, replace(DENY_LIST, issued_at=NOW - timedelta(days=30)))
    later = NOW + timedelta(days=90)
    with pytest.raises(DenyListError, match="signing certificate"):
        open_deny_list(signed, vault_id=VAULT_ID, root_certificate=AUTHORITY.root_pem, now=later)
    assert reopened(signed).version == DENY_LIST.version


def test_a_kept_list_is_still_verified() -> None:
    with pytest.raises(DenyListError, match="not issued by this vault"):
        reopened(sign_deny_list(make_authority().signer(), DENY_LIST))
    with pytest.raises(DenyListError):
        reopened(b"\xff")
    before = replace(DENY_LIST, issued_at=START - timedelta(days=1))
    with pytest.raises(DenyListError, match="valid"):
        reopened(sign_deny_list(SIGNER, before))
