import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain import registration_keys
from coordinator.domain.errors import (
    IllegalTransitionError,
    InvalidValueError,
    KeyRefusedError,
    RefusedError,
)
from coordinator.domain.events import EventKind
from coordinator.domain.hosts import Host, HostState
from coordinator.domain.identifiers import KeyId
from coordinator.domain.registration_keys import LONGEST_LIFE, RegistrationKey
from tests.unit.coordinator.examples import LATER, NOW, SOURCE

KEY, DECISION = registration_keys.create(KeyId("k1"), "secret", "a", timedelta(hours=1), NOW)
MINE, OTHER = hashlib.sha256(b"mine").digest(), hashlib.sha256(b"other").digest()


BACK, READMITTED = registration_keys.readmit(
    KeyId("k2"), "secret", SOURCE, timedelta(hours=1), NOW, reason="examined"
)


def used() -> RegistrationKey:
    return KEY.used(SOURCE.id, MINE, b"chain", NOW)


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
    decision = KEY.registered(SOURCE, MINE, b"chain", LATER)
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


def test_a_key_that_readmits_is_bound_to_its_host_and_site() -> None:
    assert (BACK.readmits, BACK.site) == (SOURCE.id, SOURCE.site)
    (event,) = READMITTED.events
    assert (event.kind, event.subject) == (EventKind.HOST_READMITTED, SOURCE.id)
    assert "examined" in event.detail
    with pytest.raises(IllegalTransitionError):
        registration_keys.readmit(
            KeyId("k3"),
            "s",
            replace(SOURCE, state=HostState.RETIRED),
            timedelta(hours=1),
            NOW,
            reason="",
        )


def test_a_readmitted_host_is_active_again_in_the_decision_that_uses_the_key() -> None:
    lost = replace(SOURCE, state=HostState.QUARANTINED, cause="c", remedy="r")
    host, key = BACK.readmitted(lost, MINE, b"chain", LATER).aggregates
    assert isinstance(host, Host)
    assert isinstance(key, RegistrationKey)
    assert (host.id, host.state) == (SOURCE.id, HostState.ACTIVE)
    assert (key.used_at, key.host_id, key.certificate_chain) == (LATER, SOURCE.id, b"chain")


def test_a_key_is_for_the_host_that_it_was_made_for() -> None:
    registration_keys.check_member(KEY, "")
    registration_keys.check_member(BACK, "")
    registration_keys.check_member(BACK, SOURCE.id)
    with pytest.raises(RefusedError) as joined:
        registration_keys.check_member(KEY, SOURCE.id)
    assert joined.value.code == "host-joined-already"
    assert "replikera host readmit" in joined.value.remedy
    with pytest.raises(KeyRefusedError) as other:
        registration_keys.check_member(BACK, "another")
    assert other.value.code == "registration-key-of-another-host"
    assert "replikera host readmit" in other.value.remedy


def test_only_an_unused_key_is_revoked_and_only_once() -> None:
    key, decision = KEY.revoked(LATER)
    assert decision.aggregates == (key,)
    assert key.revoked_at == LATER
    assert decision.events[0].kind is EventKind.KEY_REVOKED
    for other in (key, used()):
        with pytest.raises(IllegalTransitionError):
            other.revoked(LATER)
