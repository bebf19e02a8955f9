from datetime import timedelta
from pathlib import Path

import pytest

from coordinator.authority.authority import Authority, create_authority
from coordinator.authority.certificates import LEAF_LIVES
from coordinator.authority.server import server_credentials
from replikera.identity import KEY_FILE, Role
from replikera.system.files import SystemFiles
from tests.support.seeded_randomness import SeededRandomness
from tests.unit.coordinator.examples import NOW

FILES = SystemFiles()
LIFE = LEAF_LIVES[Role.VAULT]


def make(folder: Path) -> Authority:
    return create_authority(
        FILES, folder, "v-1", passphrase=b"secret", randomness=SeededRandomness(1), now=NOW
    )


def test_credentials_are_made_once_and_name_the_vault(tmp_path: Path) -> None:
    authority = make(tmp_path / "authority")
    made = server_credentials(FILES, tmp_path / "server", authority, NOW)
    assert (made.caller.role, made.caller.name) == (Role.VAULT, "v-1")
    assert server_credentials(FILES, tmp_path / "server", authority, NOW) == made


@pytest.mark.parametrize(
    ("age", "is_kept"),
    [
        (LIFE / 2 - timedelta(hours=1), True),
        (LIFE / 2 + timedelta(hours=1), False),
        (LIFE * 2, False),
        (-timedelta(hours=1), False),
    ],
)
def test_they_are_made_anew_past_half_of_their_life(
    tmp_path: Path, age: timedelta, is_kept: bool
) -> None:
    authority = make(tmp_path / "authority")
    made = server_credentials(FILES, tmp_path / "server", authority, NOW)
    later = server_credentials(FILES, tmp_path / "server", authority, NOW + age)
    assert (later == made) == is_kept
    assert server_credentials(FILES, tmp_path / "server", authority, NOW + age) == later


def test_damaged_or_foreign_ones_are_made_anew(tmp_path: Path) -> None:
    authority = make(tmp_path / "authority")
    made = server_credentials(FILES, tmp_path / "server", authority, NOW)
    (tmp_path / "server" / KEY_FILE).write_bytes(b"")
    again = server_credentials(FILES, tmp_path / "server", authority, NOW)
    assert again != made
    other = server_credentials(FILES, tmp_path / "server", make(tmp_path / "other"), NOW)
    assert other.root_certificate != again.root_certificate
