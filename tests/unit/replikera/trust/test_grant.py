from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from replikera.trust.grant import Grant, GrantError, open_grant, sign_grant
from replikera.trust.signing import Kind, SignatureError, content_of
from replikera.wire.v1 import trust_pb2
from tests.support.authority import VAULT_ID, make_authority
from tests.unit.replikera.trust.examples import GRANT, NOW, grants

AUTHORITY = make_authority()
SIGNER = AUTHORITY.signer()


def opened(signed: bytes) -> Grant:
    return open_grant(signed, vault_id=VAULT_ID, root_certificate=AUTHORITY.root_pem, now=NOW)


def changed(**fields: object) -> bytes:
    message = trust_pb2.Grant.FromString(content_of(sign_grant(SIGNER, GRANT)))
    for name, value in fields.items():
        if isinstance(value, Timestamp):
            getattr(message, name).CopyFrom(value)
        elif name in {"number", "generation"}:
            setattr(message.epoch, name, value)
        else:
            setattr(message, name, value)
    return SIGNER.sign(Kind.GRANT, message.SerializeToString())


@given(grants)
def test_a_grant_comes_back_as_it_was(grant: Grant) -> None:
    assert opened(sign_grant(SIGNER, grant)) == grant


def test_the_same_grant_has_the_same_content() -> None:
    first, second = (content_of(sign_grant(SIGNER, GRANT)) for _ in range(2))
    assert first == second


def test_whether_it_is_valid_now_is_for_the_caller_to_judge() -> None:
    past = replace(GRANT, not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=2))
    assert opened(sign_grant(SIGNER, past)) == past


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vault_id", ""),
        ("protection_id", "../../etc"),
        ("number", 0),
        ("generation", ""),
        ("source_host_id", "a/b"),
        ("target_host_id", "x" * 65),
        ("version", 0),
        ("not_before", Timestamp()),
        ("not_after", Timestamp(seconds=2**60)),
        ("not_after", Timestamp(seconds=1)),
    ],
)
def test_every_field_is_checked(field: str, value: object) -> None:
    with pytest.raises(GrantError, match=r"cannot be believed: .*(" + field + "|epoch|ends)"):
        opened(changed(**{field: value}))


def test_a_grant_of_another_vault_is_refused() -> None:
    with pytest.raises(GrantError, match="is of vault another"):
        opened(sign_grant(SIGNER, replace(GRANT, vault_id="another")))


def test_a_signed_content_that_is_no_grant_is_refused() -> None:
    with pytest.raises(GrantError, match="cannot be believed"):
        opened(SIGNER.sign(Kind.GRANT, b"\xff\xff"))
    with pytest.raises(GrantError, match="cannot be believed"):
        opened(SIGNER.sign(Kind.DENY_LIST, content_of(sign_grant(SIGNER, GRANT))))


@given(st.binary(max_size=200), st.integers(0, 400))
def test_a_strange_content_is_a_grant_or_an_error_of_grants(noise: bytes, at: int) -> None:
    content = content_of(sign_grant(SIGNER, GRANT))
    for strange in (noise, content[:at] + noise, content + noise, noise + content):
        with suppress(GrantError):
            assert isinstance(opened(SIGNER.sign(Kind.GRANT, strange)), Grant)


def test_a_signature_of_a_stranger_is_refused_as_an_error_of_signatures() -> None:
    with pytest.raises(SignatureError) as caught:
        opened(sign_grant(make_authority().signer(), GRANT))
    assert isinstance(caught.value, GrantError)
