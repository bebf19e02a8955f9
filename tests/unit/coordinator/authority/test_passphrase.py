from pathlib import Path

import pytest

from coordinator.authority.errors import AuthorityError
from coordinator.authority.passphrase import read_or_create_passphrase, read_passphrase
from replikera.system.files import SystemFiles
from tests.support.seeded_randomness import SeededRandomness

FILES = SystemFiles()


def test_a_missing_file_is_made_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "passphrase"
    made = read_or_create_passphrase(FILES, path, SeededRandomness(1))
    assert len(made) >= 43
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_passphrase(FILES, path) == made
    assert read_or_create_passphrase(FILES, path, SeededRandomness(2)) == made


def test_a_file_that_is_there_is_used_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(b"  correct horse\n")
    assert read_or_create_passphrase(FILES, path, SeededRandomness(1)) == b"correct horse"
    assert path.read_bytes() == b"  correct horse\n"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "passphrase-unreadable"),
        (b" \n", "passphrase-empty"),
        (b"x" * 2000, "passphrase-unreadable"),
    ],
)
def test_a_file_that_holds_no_passphrase_is_refused_by_name(
    tmp_path: Path, content: bytes | None, code: str
) -> None:
    path = tmp_path / "passphrase"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AuthorityError) as caught:
        read_passphrase(FILES, path)
    assert caught.value.code == code
    assert str(path) in caught.value.cause
