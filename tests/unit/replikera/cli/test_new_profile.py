import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from replikera.cli.errors import ConflictError
from replikera.cli.issued import issued_credentials
from replikera.cli.new_profile import NewProfile, Prepared
from replikera.cli.profile import Profile, load_profile
from replikera.identity import Credentials
from replikera.ports.files import Files
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.authority import Authority
from tests.support.crash_files import CrashFiles
from tests.unit.replikera.cli.issuing import Issuing
from tests.unit.replikera.cli.running import write_profile

FILES = SystemFiles()


@pytest.fixture
def maker(tmp_path: Path, operator: Credentials) -> Profile:
    write_profile(tmp_path / "own", operator, api_address="vault:1")
    return load_profile(FILES, tmp_path / "own", datetime.now(UTC))


def prepare(
    folder: Path, name: str = "ben", role: str = "reader", files: Files = FILES
) -> Prepared:
    return NewProfile(files, folder).prepare(name, role, SystemRandomness())


def finish(folder: Path, maker: Profile, authority: Authority, prepared: Prepared) -> None:
    answer = Issuing(authority)(prepared.body())
    credentials = issued_credentials(maker, answer, prepared.private_key, prepared.request.name)
    NewProfile(FILES, folder).finish(maker, credentials)


def test_the_folder_becomes_a_profile_that_only_its_owner_can_read(
    tmp_path: Path, maker: Profile, authority: Authority
) -> None:
    folder = tmp_path / "made" / "ben"
    finish(folder, maker, authority, prepare(folder))
    profile = load_profile(FILES, folder, datetime.now(UTC))
    assert (profile.vault_id, profile.api_address) == (maker.vault_id, "vault:1")
    assert profile.credentials.caller.name == "ben"
    names = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert names == dict.fromkeys(("certificate.pem", "key.pem", "profile.json", "root.pem"), 0o600)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_was_begun_goes_on_with_the_same_request(
    tmp_path: Path, maker: Profile, authority: Authority
) -> None:
    folder = tmp_path / "ben"
    begun = prepare(folder)
    assert prepare(folder) == begun
    finish(folder, maker, authority, begun)
    assert load_profile(FILES, folder, datetime.now(UTC)).vault_id == maker.vault_id


def test_what_was_begun_for_another_is_left_alone(tmp_path: Path) -> None:
    prepare(tmp_path / "ben")
    for name, role in (("eve", "reader"), ("ben", "owner")):
        with pytest.raises(ConflictError, match="was begun for operator ben as reader"):
            prepare(tmp_path / "ben", name, role)


def test_a_profile_is_not_overwritten(tmp_path: Path, maker: Profile) -> None:
    with pytest.raises(ConflictError, match="profile in .* already"):
        prepare(maker.folder)


def test_a_folder_with_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("words")
    with pytest.raises(ConflictError, match="not empty"):
        prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_refused_request_is_forgotten(tmp_path: Path) -> None:
    first = prepare(tmp_path / "ben")
    NewProfile(FILES, tmp_path / "ben").abandon()
    assert list((tmp_path / "ben").iterdir()) == []
    assert prepare(tmp_path / "ben").request.idempotency_key != first.request.idempotency_key


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"name": "ben"}', b"\xff"])
def test_a_damaged_request_says_how_to_go_on(tmp_path: Path, damage: bytes) -> None:
    prepare(tmp_path / "ben")
    (tmp_path / "ben" / "request.json").write_bytes(damage)
    with pytest.raises(ConflictError, match="cannot be read") as caught:
        prepare(tmp_path / "ben")
    assert "Remove the folder" in caught.value.remedy


def test_a_request_without_its_key_says_how_to_go_on(tmp_path: Path) -> None:
    prepare(tmp_path / "ben")
    (tmp_path / "ben" / "next-key.pem").unlink()
    with pytest.raises(ConflictError, match="without its key"):
        prepare(tmp_path / "ben")


def test_a_crash_anywhere_is_taken_up_by_the_same_command(
    maker: Profile, authority: Authority
) -> None:
    folder, chooser = Path("/profiles/ben"), random.Random(1)
    files = CrashFiles()
    asked: list[Prepared] = []
    outcomes = set()

    def crash(_operation: str, _path: Path) -> None:
        for state in files.crash_states(chooser):
            again = NewProfile(state, folder)
            if state.status(folder / "profile.json") is not None:
                loaded = load_profile(state, folder, datetime.now(UTC))
                assert loaded.credentials.caller.name == "ben"
                outcomes.add("complete")
                continue
            prepared = again.prepare("ben", "reader", SystemRandomness())
            # Once the vault may have been asked it is asked the same again.
            assert not asked or prepared == asked[0]
            outcomes.add("asked again" if asked else "begun again")

    files.before = crash
    new = NewProfile(files, folder)
    asked.append(prepared := new.prepare("ben", "reader", SystemRandomness()))
    answer = Issuing(authority)(prepared.body())
    new.finish(maker, issued_credentials(maker, answer, prepared.private_key, "ben"))
    assert outcomes == {"begun again", "asked again", "complete"}
