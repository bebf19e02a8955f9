import json
from dataclasses import asdict
from pathlib import Path

import pytest

from agent.control.membership import (
    Membership,
    MembershipError,
    MembershipFolder,
    join_name,
    renewal_name,
)
from replikera.identity import Credentials, IdentityError, Role, save_credentials
from tests.support.authority import VAULT_ID, Authority, make_authority
from tests.unit.agent.fakes import Fuse, FusedFiles, Killed

MEMBERSHIP = Membership(VAULT_ID, "home", "host-1", "vault.test:7402", "a")
JOINED = join_name("0123456789abcdef")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority()


@pytest.fixture(scope="module")
def credentials(authority: Authority) -> Credentials:
    return authority.issue(Role.HOST, "host-1")


@pytest.fixture(scope="module")
def renewed(authority: Authority) -> Credentials:
    return authority.issue(Role.HOST, "host-1")


def folder_in(path: Path, files: FusedFiles | None = None) -> MembershipFolder:
    return MembershipFolder(files or FusedFiles(), path / "identity")


def joined(path: Path, credentials: Credentials) -> MembershipFolder:
    folder = folder_in(path)
    folder.adopt(JOINED, MEMBERSHIP, credentials)
    return folder


def test_adopted_membership_is_loaded_again(tmp_path: Path, credentials: Credentials) -> None:
    joined(tmp_path, credentials)
    assert folder_in(tmp_path).is_complete()
    assert folder_in(tmp_path).load() == (MEMBERSHIP, credentials)
    assert folder_in(tmp_path).membership() == MEMBERSHIP


def test_private_key_is_readable_by_its_owner_alone(
    tmp_path: Path, credentials: Credentials
) -> None:
    joined(tmp_path, credentials)
    assert (tmp_path / "identity").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "identity" / JOINED / "key.pem").stat().st_mode & 0o777 == 0o600


def test_host_that_never_joined_is_told_what_to_run(tmp_path: Path) -> None:
    assert not folder_in(tmp_path).is_complete()
    with pytest.raises(MembershipError, match="run replikera-agent join first"):
        folder_in(tmp_path).load()


def test_kill_while_joining_leaves_no_membership_or_the_whole_one(
    tmp_path: Path, credentials: Credentials
) -> None:
    counting = FusedFiles()
    folder_in(tmp_path / "counted", counting).adopt(JOINED, MEMBERSHIP, credentials)
    assert counting.fuse.ticks > 12
    for moment in range(1, counting.fuse.ticks + 1):
        path = tmp_path / str(moment)
        with pytest.raises(Killed):
            folder_in(path, FusedFiles(Fuse(moment))).adopt(JOINED, MEMBERSHIP, credentials)
        again = folder_in(path)
        if again.is_complete():
            assert again.load() == (MEMBERSHIP, credentials)
        again.adopt(JOINED, MEMBERSHIP, credentials)
        assert again.load() == (MEMBERSHIP, credentials)


def test_kill_while_new_credentials_are_adopted_leaves_the_old_or_the_new(
    tmp_path: Path, credentials: Credentials, renewed: Credentials
) -> None:
    name = renewal_name(credentials)
    counting = FusedFiles()
    joined(tmp_path / "counted", credentials)
    folder_in(tmp_path / "counted", counting).adopt(name, MEMBERSHIP, renewed)
    seen = []
    for moment in range(1, counting.fuse.ticks + 1):
        path = tmp_path / str(moment)
        joined(path, credentials)
        with pytest.raises(Killed):
            folder_in(path, FusedFiles(Fuse(moment))).adopt(name, MEMBERSHIP, renewed)
        again = folder_in(path)
        seen.append(again.load()[1])
        again.adopt(name, MEMBERSHIP, renewed)
        assert again.load() == (MEMBERSHIP, renewed)
    # First all kills that left the old ones, then all that left the new.
    turn = seen.index(renewed)
    assert 0 < turn < len(seen) - 1
    assert seen == [credentials] * turn + [renewed] * (len(seen) - turn)


def test_new_credentials_leave_nothing_of_the_old(
    tmp_path: Path, credentials: Credentials, renewed: Credentials
) -> None:
    joined(tmp_path, credentials)
    folder_in(tmp_path).pending_key("renewal-cut-off")
    name = renewal_name(credentials)
    folder_in(tmp_path).adopt(name, MEMBERSHIP, renewed)
    names = {path.name for path in (tmp_path / "identity").iterdir()}
    assert names == {"vault.json", name}


def test_identity_of_an_earlier_version_is_read_and_replaced(
    tmp_path: Path, credentials: Credentials, renewed: Credentials
) -> None:
    files, folder = FusedFiles(), tmp_path / "identity"
    save_credentials(files, folder, credentials)
    (folder / "vault.json").write_text(json.dumps(asdict(MEMBERSHIP)))
    (folder / "starts.json").write_text("{}")
    assert folder_in(tmp_path).load() == (MEMBERSHIP, credentials)
    folder_in(tmp_path).adopt("renewal-1", MEMBERSHIP, renewed)
    assert folder_in(tmp_path).load() == (MEMBERSHIP, renewed)
    assert {path.name for path in folder.iterdir()} == {"vault.json", "starts.json", "renewal-1"}


def test_credentials_that_count_are_not_harmed_by_an_answer_for_another_key(
    tmp_path: Path, authority: Authority, credentials: Credentials
) -> None:
    folder = joined(tmp_path, credentials)
    other = authority.issue(Role.HOST, "host-1")
    mixed = Credentials(
        other.certificate_chain, credentials.private_key, credentials.root_certificate
    )
    with pytest.raises(IdentityError, match="not for the key of this host"):
        folder.adopt(JOINED, MEMBERSHIP, mixed)
    assert folder.load() == (MEMBERSHIP, credentials)


def test_old_credentials_that_cannot_be_removed_do_not_undo_the_new(
    tmp_path: Path, credentials: Credentials, renewed: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined(tmp_path, credentials)
    files = FusedFiles()

    def refuse(path: Path) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(files, "remove_tree", refuse)
    folder_in(tmp_path, files).adopt("renewal-1", MEMBERSHIP, renewed)
    assert folder_in(tmp_path).load() == (MEMBERSHIP, renewed)


def test_key_of_what_was_cut_off_is_used_again(tmp_path: Path) -> None:
    key = folder_in(tmp_path).pending_key(JOINED)
    assert folder_in(tmp_path).pending_key(JOINED) == key
    assert folder_in(tmp_path).pending_key(join_name("f" * 16)) != key
    assert not folder_in(tmp_path).is_complete()


def test_kill_while_a_key_is_made_leaves_none_or_the_one_that_is_used(tmp_path: Path) -> None:
    counting = FusedFiles()
    folder_in(tmp_path / "counted", counting).pending_key(JOINED)
    for moment in range(1, counting.fuse.ticks + 1):
        path = tmp_path / str(moment)
        with pytest.raises(Killed):
            folder_in(path, FusedFiles(Fuse(moment))).pending_key(JOINED)
        key = folder_in(path).pending_key(JOINED)
        assert folder_in(path).pending_key(JOINED) == key
        assert key.startswith(b"-----BEGIN PRIVATE KEY-----")


@pytest.mark.parametrize(
    ("role", "name"), [(Role.OPERATOR, "host-1"), (Role.HOST, "host-2"), (Role.VAULT, "host-1")]
)
def test_certificate_of_somebody_else_is_not_kept(
    tmp_path: Path, authority: Authority, role: Role, name: str
) -> None:
    with pytest.raises(IdentityError, match=f"is of {role} {name}"):
        folder_in(tmp_path).adopt(JOINED, MEMBERSHIP, authority.issue(role, name))
    assert not folder_in(tmp_path).is_complete()


def damage_certificate(folder: Path) -> None:
    (folder / JOINED / "certificate.pem").write_text("nonsense")


def remove_key(folder: Path) -> None:
    (folder / JOINED / "key.pem").unlink()


def change_host(folder: Path) -> None:
    document = json.loads((folder / "vault.json").read_text())
    (folder / "vault.json").write_text(json.dumps({**document, "host_id": "host-9"}))


@pytest.mark.parametrize("damage", [damage_certificate, remove_key, change_host])
def test_damaged_credentials_are_named_with_their_remedy(
    tmp_path: Path, credentials: Credentials, damage: object
) -> None:
    folder = joined(tmp_path, credentials)
    assert callable(damage)
    damage(tmp_path / "identity")
    with pytest.raises(MembershipError, match="identity cannot be used.*host readmit"):
        folder.load()


def test_damaged_membership_is_named_with_its_remedy(
    tmp_path: Path, credentials: Credentials
) -> None:
    folder = joined(tmp_path, credentials)
    (tmp_path / "identity" / "vault.json").write_text("{}")
    with pytest.raises(MembershipError, match=r"vault\.json is damaged. Restore the file"):
        folder.load()


def test_vault_file_names_no_folder_outside(tmp_path: Path, credentials: Credentials) -> None:
    folder = joined(tmp_path, credentials)
    path = tmp_path / "identity" / "vault.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "credentials": f"../identity/{JOINED}"}))
    with pytest.raises(MembershipError, match="is damaged"):
        folder.load()
