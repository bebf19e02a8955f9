import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain import registration_keys
from coordinator.domain.errors import InvalidValueError, KeyRefusedError
from coordinator.domain.events import EventKind
from coordinator.domain.identifiers import KeyId
from coordinator.domain.registration_keys import LONGEST_LIFE, RegistrationKey
from tests.unit.coordinator.examples import LATER, NOW, SOURCE

KEY, DECISION = registration_keys.create(KeyId("k1"), "secret", "a", timedelta(hours=1), NOW)
MINE, OTHER = hashlib.sha256(b"mine").digest(), hashlib.sha256(b"other").digest()


def used() -> RegistrationKey:
    decision = KEY.used(SOURCE, MINE, b"chain", NOW)
    (key,) = (item for item in decision.aggregates if isinstance(item, RegistrationKey))
    return key


def code(key: RegistrationKey | None, secret: str, public_key_hash: bytes, **later: int) -> str:
    with pytest.raises(KeyRefusedError) as caught:
        registration_keys.check(key, secret, public_key_hash, NOW + timedelta(**later))
    assert "replikera host invite" in caught.value.remedy
    return caught.value.code


def test_only_the_hash_of_the_secret_is_kept() -> None:
    assert KEY.secret_hash == hashlib.sha256(b"secret").digest()
    assert "secret'" not in repr(KEY)
    assert DECISION.aggregates == (KEY,)
    assert [event.kind for event in DECISION.events] == [EventKind.HOST_INVITED]


def test_the_right_secret_opens_until_the_key_expires() -> None:
    assert registration_keys.check(KEY, "secret", MINE, NOW) == KEY
    almost = NOW + timedelta(minutes=59, seconds=59)
    assert registration_keys.check(KEY, "secret", MINE, almost) == KEY
    assert code(KEY, "secret", MINE, hours=1) == "registration-key-expired"


def test_an_unknown_key_and_a_wrong_secret_look_the_same() -> None:
    assert code(None, "secret", MINE) == code(KEY, "Secret", MINE) == "registration-key-wrong"


def test_nothing_is_told_about_a_key_to_a_caller_without_its_secret() -> None:
    for key in (used(), replace(KEY, revoked_at=NOW), replace(KEY, expires_at=NOW)):
        assert code(key, "wrong", OTHER, hours=2) == "registration-key-wrong"


def test_a_revoked_key_says_so() -> None:
    assert code(replace(KEY, revoked_at=NOW), "secret", MINE) == "registration-key-revoked"


def test_a_used_key_opens_again_for_the_same_public_key_only() -> None:
    assert registration_keys.check(used(), "secret", MINE, LATER).certificate_chain == b"chain"
    assert code(used(), "secret", OTHER) == "registration-key-used"
    assert code(used(), "secret", MINE, hours=1) == "registration-key-expired"


def test_using_a_key_registers_the_host_in_the_same_decision() -> None:
    decision = KEY.used(SOURCE, MINE, b"chain", LATER)
    host, key = decision.aggregates
    assert host == SOURCE
    assert isinstance(key, RegistrationKey)
    assert (key.used_at, key.host_id, key.public_key_hash) == (LATER, SOURCE.id, MINE)
    assert [event.kind for event in decision.events] == [EventKind.HOST_REGISTERED]


@pytest.mark.parametrize("life", [timedelta(0), timedelta(milliseconds=999), LONGEST_LIFE * 2])
def test_a_life_outside_the_bounds_is_refused(life: timedelta) -> None:
    with pytest.raises(InvalidValueError):
        registration_keys.create(KeyId("k"), "s", "a", life, NOW)


def test_the_shortest_and_the_longest_life_are_taken() -> None:
    for life in (timedelta(seconds=1), LONGEST_LIFE):
        key, _ = registration_keys.create(KeyId("k"), "s", "a", life, NOW)
        assert key.expires_at - NOW == life
