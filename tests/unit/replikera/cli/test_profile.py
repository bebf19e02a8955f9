from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from replikera.cli.errors import ExitCode
from replikera.cli.profile import (
    ProfileError,
    concerns,
    default_profile_folder,
    load_profile,
)
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
    assert "replikera operator create" in caught.value.remedy


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


@pytest.mark.parametrize("name", ["profile.json", "key.pem"])
def test_a_file_of_somebody_else_is_no_damage(
    tmp_path: Path, operator: Credentials, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_profile(tmp_path, operator)
    files = SystemFiles()
    read = files.read_bytes

    def refuse(path: Path, *, limit: int) -> bytes:
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, limit=limit)

    monkeypatch.setattr(files, "read_bytes", refuse)
    with pytest.raises(ProfileError, match="Permission denied") as caught:
        load_profile(files, tmp_path, datetime.now(UTC))
    assert "as the user whose profile it is" in caught.value.remedy


def concerns_of(folder: Path, later: timedelta) -> list[str]:
    now = datetime.now(UTC)
    return list(concerns(SystemFiles(), load_profile(SystemFiles(), folder, now), now + later))


def test_a_sound_profile_gives_no_concern(tmp_path: Path, operator: Credentials) -> None:
    write_profile(tmp_path, operator)
    assert concerns_of(tmp_path, timedelta(0)) == []


def test_what_others_may_write_is_named(tmp_path: Path, operator: Credentials) -> None:
    write_profile(tmp_path, operator)
    (tmp_path / "profile.json").chmod(0o622)
    (tmp_path / "root.pem").chmod(0o640)
    [concern] = concerns_of(tmp_path, timedelta(0))
    assert concern.startswith(f"root.pem, profile.json in {tmp_path} can be read or written")


def test_the_end_of_a_certificate_is_announced(tmp_path: Path, operator: Credentials) -> None:
    write_profile(tmp_path, operator)
    assert concerns_of(tmp_path, timedelta(days=19)) == []
    [concern] = concerns_of(tmp_path, timedelta(days=27))
    assert concern.startswith("the certificate of operator ada expires in 3d")
    assert concern.endswith("Run: replikera operator renew")
