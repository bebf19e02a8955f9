import json
from pathlib import Path

import pytest

from agent.control.membership import Membership, MembershipError, MembershipFolder
from replikera.identity import Credentials, IdentityError, Role
from tests.support.authority import VAULT_ID, Authority, make_authority
from tests.unit.agent.fakes import Fuse, FusedFiles, Killed

MEMBERSHIP = Membership(VAULT_ID, "home", "host-1", "vault.test:7402", "a")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority()


@pytest.fixture(scope="module")
def credentials(authority: Authority) -> Credentials:
    return authority.issue(Role.HOST, "host-1")


def folder_in(path: Path, files: FusedFiles | None = None) -> MembershipFolder:
    return MembershipFolder(files or FusedFiles(), path / "identity")


def test_saved_membership_is_loaded_again(tmp_path: Path, credentials: Credentials) -> None:
    folder_in(tmp_path).save(MEMBERSHIP, credentials)
    assert folder_in(tmp_path).is_complete()
    assert folder_in(tmp_path).load() == (MEMBERSHIP, credentials)


def test_private_key_is_readable_by_its_owner_alone(
    tmp_path: Path, credentials: Credentials
) -> None:
    folder_in(tmp_path).save(MEMBERSHIP, credentials)
    assert (tmp_path / "identity").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "identity" / "key.pem").stat().st_mode & 0o777 == 0o600


def test_host_that_never_joined_is_told_what_to_run(tmp_path: Path) -> None:
    assert not folder_in(tmp_path).is_complete()
    with pytest.raises(MembershipError, match="run replikera-agent join first"):
        folder_in(tmp_path).load()


def test_kill_while_saving_leaves_no_membership_or_the_whole_one(
    tmp_path: Path, credentials: Credentials
) -> None:
    counting = FusedFiles()
    folder_in(tmp_path / "counted", counting).save(MEMBERSHIP, credentials)
    assert counting.fuse.ticks > 12
    for moment in range(1, counting.fuse.ticks + 1):
        path = tmp_path / str(moment)
        with pytest.raises(Killed):
            folder_in(path, FusedFiles(Fuse(moment))).save(MEMBERSHIP, credentials)
        again = folder_in(path)
        if again.is_complete():
            assert again.load() == (MEMBERSHIP, credentials)
        else:
            again.save(MEMBERSHIP, credentials)
            assert again.load() == (MEMBERSHIP, credentials)


def test_key_of_a_join_that_was_cut_off_is_used_again(tmp_path: Path) -> None:
    key = folder_in(tmp_path).pending_key()
    assert folder_in(tmp_path).pending_key() == key
    assert not folder_in(tmp_path).is_complete()


def test_certificate_of_another_key_is_not_kept_as_a_membership(
    tmp_path: Path, authority: Authority, credentials: Credentials
) -> None:
    other = authority.issue(Role.HOST, "host-1")
    mixed = Credentials(
        credentials.certificate_chain, other.private_key, credentials.root_certificate
    )
    with pytest.raises(IdentityError, match=r"key\.pem is not the key"):
        folder_in(tmp_path).save(MEMBERSHIP, mixed)
    assert not folder_in(tmp_path).is_complete()


@pytest.mark.parametrize(
    ("role", "name"), [(Role.OPERATOR, "host-1"), (Role.HOST, "host-2"), (Role.VAULT, "host-1")]
)
def test_certificate_of_somebody_else_is_not_kept(
    tmp_path: Path, authority: Authority, role: Role, name: str
) -> None:
    with pytest.raises(IdentityError, match=f"is of {role} {name}"):
        folder_in(tmp_path).save(MEMBERSHIP, authority.issue(role, name))
    assert not folder_in(tmp_path).is_complete()


def damage_certificate(folder: Path) -> None:
    (folder / "certificate.pem").write_text("nonsense")


def remove_key(folder: Path) -> None:
    (folder / "key.pem").unlink()


def damage_vault_file(folder: Path) -> None:
    (folder / "vault.json").write_text("{}")


def change_host(folder: Path) -> None:
    document = json.loads((folder / "vault.json").read_text())
    (folder / "vault.json").write_text(json.dumps({**document, "host_id": "host-9"}))


@pytest.mark.parametrize("damage", [damage_certificate, remove_key, damage_vault_file, change_host])
def test_damaged_identity_is_named_with_its_remedy(
    tmp_path: Path, credentials: Credentials, damage: object
) -> None:
    folder_in(tmp_path).save(MEMBERSHIP, credentials)
    assert callable(damage)
    damage(tmp_path / "identity")
    with pytest.raises(MembershipError, match="identity cannot be used.*restore the folder"):
        folder_in(tmp_path).load()
