import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from replikera.cli.errors import AnswerError
from replikera.cli.issued import issued_credentials
from replikera.cli.profile import Profile, load_profile
from replikera.identity import Credentials, Role, generate_private_key, signing_request
from replikera.system.files import SystemFiles
from tests.support.authority import Authority, make_authority
from tests.unit.replikera.cli.issuing import Issuing
from tests.unit.replikera.cli.running import write_profile

KEY = generate_private_key()
BODY = {"certificate_signing_request": base64.b64encode(signing_request(KEY)).decode()}


@pytest.fixture
def profile(tmp_path: Path, operator: Credentials) -> Profile:
    write_profile(tmp_path, operator)
    return load_profile(SystemFiles(), tmp_path, datetime.now(UTC))


def test_what_was_asked_for_is_taken(profile: Profile, authority: Authority) -> None:
    answer = Issuing(authority, "ben")(BODY)
    credentials = issued_credentials(profile, answer, KEY, "ben")
    assert credentials.caller.name == "ben"
    assert credentials.root_certificate == profile.credentials.root_certificate


def test_a_certificate_of_somebody_else_is_refused(profile: Profile, authority: Authority) -> None:
    with pytest.raises(AnswerError, match="it is that of operator eve"):
        issued_credentials(profile, Issuing(authority, "eve")(BODY), KEY, "ben")


def test_a_hosts_certificate_is_refused(profile: Profile, authority: Authority) -> None:
    host = authority.issue(Role.HOST, "ben").certificate_chain.decode()
    answer = {**Issuing(authority, "ben")(BODY), "certificate_chain": host}
    with pytest.raises(AnswerError, match="it is that of host ben"):
        issued_credentials(profile, answer, KEY, "ben")


def test_a_certificate_for_another_key_is_refused(profile: Profile, authority: Authority) -> None:
    with pytest.raises(AnswerError, match="it is for another key"):
        issued_credentials(profile, Issuing(authority, "ben")(BODY), generate_private_key(), "ben")


def test_another_authority_is_refused_whether_it_says_so_or_not(
    profile: Profile, authority: Authority
) -> None:
    foreign = Issuing(make_authority(), "ben")(BODY)
    with pytest.raises(AnswerError, match="of another authority"):
        issued_credentials(profile, foreign, KEY, "ben")
    masked = {**foreign, "root_certificate": authority.root_pem.decode()}
    with pytest.raises(AnswerError, match="do not lead to the root"):
        issued_credentials(profile, masked, KEY, "ben")


@pytest.mark.parametrize(
    "changes", [{"certificate_chain": "x"}, {"certificate_chain": None}, {"root_certificate": "x"}]
)
def test_what_is_no_certificate_is_refused(
    profile: Profile, authority: Authority, changes: dict[str, object]
) -> None:
    with pytest.raises(AnswerError):
        issued_credentials(profile, {**Issuing(authority, "ben")(BODY), **changes}, KEY, "ben")
