from datetime import timedelta
from pathlib import Path

import pytest

from coordinator.authority.certificates import LEAF_LIVES, KeyPair, make_issuing, make_root
from coordinator.authority.keys import new_key, pem
from coordinator.authority.signing import SIGNING_KEY_FILE, SigningFiles, fresh_signing
from replikera.identity import Role, caller_from_certificate
from replikera.system.files import SystemFiles
from tests.unit.coordinator.examples import NOW

ROOT = make_root(new_key(), "v-1", 1, NOW)
ISSUING = make_issuing(ROOT, new_key(), "v-1", 2, NOW)
HALF = LEAF_LIVES[Role.SIGNER] / 2


def files_in(folder: Path, passphrase: bytes = b"secret") -> SigningFiles:
    return SigningFiles(SystemFiles(), folder, passphrase)


def fresh(folder: Path, age: timedelta = timedelta(), issuing: KeyPair = ISSUING) -> int:
    pair = fresh_signing(files_in(folder), issuing, "v-1", 77, NOW + age)
    return pair.key.private_numbers().private_value


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    assert files_in(tmp_path).load(ISSUING) is None
    made = fresh(tmp_path)
    assert fresh(tmp_path) == made
    assert fresh(tmp_path, HALF - timedelta(hours=1)) == made


@pytest.mark.parametrize("age", [HALF + timedelta(hours=1), HALF * 3, -timedelta(hours=1)])
def test_it_is_made_anew_past_half_of_its_life_or_before_it(tmp_path: Path, age: timedelta) -> None:
    made = fresh(tmp_path)
    assert fresh(tmp_path, age) != made


def test_one_of_another_authority_or_passphrase_is_made_anew(tmp_path: Path) -> None:
    made = fresh(tmp_path)
    other = make_issuing(ROOT, new_key(), "v-1", 3, NOW)
    assert files_in(tmp_path).load(other) is None
    assert files_in(tmp_path, b"wrong").load(ISSUING) is None
    assert fresh(tmp_path, issuing=other) != made


def test_it_names_the_signer_of_the_vault(tmp_path: Path) -> None:
    pair = fresh_signing(files_in(tmp_path), ISSUING, "v-1", 77, NOW)

    caller = caller_from_certificate(pem(pair.certificate))
    assert (caller.role, caller.name, caller.serial) == (Role.SIGNER, "v-1", 77)


def test_a_key_without_its_certificate_is_a_broken_write(tmp_path: Path) -> None:
    fresh(tmp_path)
    before = (tmp_path / SIGNING_KEY_FILE).read_bytes()
    fresh(tmp_path, HALF * 3)
    (tmp_path / SIGNING_KEY_FILE).write_bytes(before)
    assert files_in(tmp_path).load(ISSUING) is None
