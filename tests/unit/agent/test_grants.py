from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from agent.grants import (
    MAX_GRANT_BYTES,
    GrantReader,
    GrantRefusedError,
    GrantTerms,
    expired,
    superseded,
)
from tests.support.authority import VAULT_ID, make_authority
from tests.support.grants import START, GrantOffice, terms
from tests.unit.agent.fakes import AutoClock

PROTECTION = "11111111-1111-4111-8111-111111111111"
GENERATION = "22222222-2222-4222-8222-222222222222"
OFFICE = GrantOffice(terms(PROTECTION, GENERATION, "s", "t"))
TERMS = GrantTerms(PROTECTION, 1, GENERATION, "s", "t")


@pytest.fixture
def clock() -> AutoClock:
    return AutoClock()


@pytest.fixture
def reader(clock: AutoClock) -> GrantReader:
    return OFFICE.reader("t", clock)


def refusal(reader: GrantReader, signed: bytes, said: GrantTerms = TERMS) -> GrantRefusedError:
    with pytest.raises(GrantRefusedError) as raised:
        reader.read(signed, said)
    assert PROTECTION in raised.value.cause
    return raised.value


def test_grant_of_the_vault_is_read(reader: GrantReader) -> None:
    assert reader.read(OFFICE.grant(version=5), TERMS) == replace(OFFICE.terms, version=5)


def test_missing_grant_is_told_with_its_remedy(reader: GrantReader) -> None:
    error = refusal(reader, b"")
    assert error.code == "grant-missing"
    assert "Connect the source host to the vault" in error.remedy


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"protection_id": GENERATION}, f"its protection id is {GENERATION}, not {PROTECTION}"),
        ({"epoch": 2}, "its epoch is 2, not 1"),
        ({"generation": PROTECTION}, "its generation is"),
        ({"source_host_id": "x"}, "its source host id is x, not s"),
        ({"target_host_id": "x"}, "its target host id is x, not t"),
        ({"vault_id": "another"}, "of vault another"),
    ],
)
def test_grant_for_something_else_says_what_differs(
    reader: GrantReader, changes: dict[str, object], problem: str
) -> None:
    error = refusal(reader, OFFICE.grant(**changes))
    assert error.code == "grant-invalid"
    assert problem in error.cause


def test_grant_that_the_vault_did_not_sign_is_refused(reader: GrantReader) -> None:
    stranger = GrantOffice(OFFICE.terms)
    wrong = [stranger.grant(), OFFICE.deny_list(1), b"noise", b"x" * (MAX_GRANT_BYTES + 1)]
    assert {refusal(reader, signed).code for signed in wrong} == {"grant-invalid"}


def test_reader_of_another_vault_refuses(clock: AutoClock) -> None:
    root = make_authority().root_pem
    reader = GrantReader(host_id="t", vault_id=VAULT_ID, root_certificate=root, clock=clock)
    assert refusal(reader, OFFICE.grant()).code == "grant-invalid"


@pytest.mark.parametrize(
    ("not_before", "not_after", "code"),
    [
        (START - timedelta(hours=1), START, "grant-expired"),
        (START - timedelta(hours=1), START + timedelta(seconds=1), None),
        (START, START + timedelta(seconds=1), None),
        (START + timedelta(seconds=1), START + timedelta(seconds=2), "grant-invalid"),
    ],
)
def test_grant_permits_from_its_beginning_to_its_end(
    reader: GrantReader, not_before: datetime, not_after: datetime, code: str | None
) -> None:
    grant = reader.read(OFFICE.grant(not_before=not_before, not_after=not_after), TERMS)
    assert reader.remaining_seconds(grant) == (not_after - START).total_seconds()
    if code is None:
        reader.check_time(grant)
        return
    with pytest.raises(GrantRefusedError) as raised:
        reader.check_time(grant)
    assert raised.value.code == code


def test_refusals_name_protection_and_times() -> None:
    assert "has expired at 2026-12-31T00:00:00Z" in expired(OFFICE.terms).cause
    assert "Version 1" in superseded(OFFICE.terms, 4).cause
    assert "seen version 4" in superseded(OFFICE.terms, 4).cause
