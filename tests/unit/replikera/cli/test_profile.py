from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from replikera.cli.errors import ExitCode
from replikera.cli.profile import ProfileError, default_profile_folder, load_profile
from replikera.identity import Credentials, Role
from replikera.system.files import SystemFiles
from tests.support.authority import VAULT_ID, Authority, make_authority
from tests.unit.replikera.cli.running import write_profile


def load(folder: Path) -> object:
    return load_profile(SystemFiles(), folder, datetime.now(UTC))


def test_a_good_profile_names_the_vault_to_expect(tmp_path: Path, operator: Credentials) -> None:
    write_profile(tmp_path, operator, api_address="[::1]:7443", later_field=1)
    profile = load_profile(SystemFiles(), tmp_path, datetime.now(UTC))
    assert profile.vault_dns_name == f"{VAULT_ID}.vault.{VAULT_ID}"
    assert (profile.api_address, profile.vault_name) == ("[::1]:7443", "lab")


def test_a_missing_profile_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="profile.json: there is no operator profile") as caught:
        load(tmp_path)
    assert "--profile" in caught.value.remedy
    assert caught.value.exit_code is ExitCode.AUTHENTICATION


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[" * 50_000, "cannot be read"),
        (b"x" * 100_000, "cannot be read"),
        (b"[]", "not a JSON object"),
        (b"{}", "vault_id is missing"),
    ],
)
def test_a_malformed_profile_names_the_file(
    tmp_path: Path, operator: Credentials, content: bytes, problem: str
) -> None:
    write_profile(tmp_path, operator)
    (tmp_path / "profile.json").write_bytes(content)
    with pytest.raises(ProfileError, match=problem) as caught:
        load(tmp_path)
    assert str(tmp_path / "profile.json") in caught.value.cause
    assert caught.value.remedy


@pytest.mark.parametrize("value", ["", 5, None])
def test_every_value_must_be_text(tmp_path: Path, operator: Credentials, value: object) -> None:
    write_profile(tmp_path, operator, vault_name=value)
    with pytest.raises(ProfileError, match="vault_name is missing or not a text"):
        load(tmp_path)


@pytest.mark.parametrize("address", ["vault", "vault:0", "vault:65536", "a b:1", "h/x:1", "u@h:1"])
def test_the_address_must_be_host_and_port(
    tmp_path: Path, operator: Credentials, address: str
) -> None:
    write_profile(tmp_path, operator, api_address=address)
    with pytest.raises(ProfileError, match="is not HOST:PORT"):
        load(tmp_path)


def test_missing_credentials_name_the_folder(tmp_path: Path, operator: Credentials) -> None:
    write_profile(tmp_path, operator)
    (tmp_path / "key.pem").unlink()
    with pytest.raises(ProfileError, match=f"no identity in {tmp_path}"):
        load(tmp_path)


def test_a_hosts_certificate_is_no_profile(tmp_path: Path, authority: Authority) -> None:
    write_profile(tmp_path, authority.issue(Role.HOST, "hv1"))
    with pytest.raises(ProfileError, match="that of host hv1"):
        load(tmp_path)


def test_another_vaults_certificate_is_no_profile(tmp_path: Path, authority: Authority) -> None:
    write_profile(tmp_path, authority.issue(Role.OPERATOR, "ada", vault_id="other-vault"))
    with pytest.raises(ProfileError, match="of vault other-vault"):
        load(tmp_path)


def test_an_expired_certificate_is_named_before_anything_is_sent(
    tmp_path: Path, authority: Authority
) -> None:
    write_profile(tmp_path, authority.issue(Role.OPERATOR, "ada", valid_for=timedelta(minutes=-1)))
    with pytest.raises(ProfileError, match="operator ada expired at") as caught:
        load(tmp_path)
    assert "issue a new operator certificate" in caught.value.remedy


def test_the_default_folder_follows_the_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_profile_folder() == tmp_path / "replikera"


def test_a_certificate_of_another_authority_is_refused_here(
    tmp_path: Path, authority: Authority
) -> None:
    stranger = make_authority().issue(Role.OPERATOR, "eve")
    mixed = Credentials(stranger.certificate_chain, stranger.private_key, authority.root_pem)
    write_profile(tmp_path, mixed)
    with pytest.raises(
        ProfileError, match="certificate.pem was not issued by the vault of root.pem"
    ):
        load(tmp_path)


def test_a_damaged_root_is_refused(tmp_path: Path, operator: Credentials) -> None:
    write_profile(tmp_path, operator)
    (tmp_path / "root.pem").write_text("no certificate")
    with pytest.raises(ProfileError, match="root.pem"):
        load(tmp_path)
