from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from coordinator.authority.authority import (
    ISSUING_FILE,
    ISSUING_KEY_FILE,
    ROOT_FILE,
    ROOT_KEY_FILE,
    Authority,
    create_authority,
    open_authority,
)
from coordinator.authority.certificates import LEAF_LIVES
from coordinator.authority.errors import AuthorityError
from coordinator.authority.signing import SIGNING_FILE, SIGNING_KEY_FILE
from replikera.identity import Role, caller_from_certificate, root_fingerprint
from replikera.system.files import SystemFiles
from replikera.trust.signing import Kind, verify
from tests.support.seeded_randomness import SeededRandomness
from tests.unit.coordinator.examples import NOW

FILES = SystemFiles()
KEY = ec.generate_private_key(ec.SECP256R1()).public_key()


def create(folder: Path, vault_id: str = "v-1") -> Authority:
    return create_authority(
        FILES, folder, vault_id, passphrase=b"secret", randomness=SeededRandomness(1), now=NOW
    )


def reopen(folder: Path, passphrase: bytes = b"secret", now: datetime = NOW) -> Authority:
    return open_authority(
        FILES, folder, "v-1", passphrase=passphrase, randomness=SeededRandomness(2), now=now
    )


def read_back(authority: Authority, signed: bytes, now: datetime = NOW) -> bytes:
    return verify(
        signed, Kind.GRANT, vault_id="v-1", root_certificate=authority.root_certificate, now=now
    )


def damage(folder: Path, passphrase: bytes = b"secret") -> AuthorityError:
    with pytest.raises(AuthorityError) as caught:
        reopen(folder, passphrase)
    assert str(folder) in caught.value.cause
    return caught.value


def test_an_opened_authority_issues_what_the_kept_root_vouches_for(tmp_path: Path) -> None:
    made = create(tmp_path)
    opened = reopen(tmp_path)
    assert opened.root_certificate == made.root_certificate
    assert opened.fingerprint == root_fingerprint(made.root_certificate)
    leaf, issuing = x509.load_pem_x509_certificates(
        opened.issue(Role.HOST, "host-1", KEY, NOW).chain
    )
    leaf.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(x509.load_pem_x509_certificate(made.root_certificate))
    assert leaf.public_key() == KEY


def test_no_two_certificates_have_one_serial(tmp_path: Path) -> None:
    authority = create(tmp_path)
    issued = [authority.issue(Role.HOST, "host-1", KEY, NOW) for _ in range(5)]
    serials = {x509.load_pem_x509_certificate(each.chain).serial_number for each in issued}
    assert len(serials) == 5
    assert min(serials) > 1 << 127
    assert {int(each.serial, 16) for each in issued} == serials
    assert all(caller_from_certificate(each.chain).certificate_id == each.serial for each in issued)


def test_credentials_are_a_pair_with_the_vaults_root(tmp_path: Path) -> None:
    authority = create(tmp_path)
    credentials = authority.issue_credentials(Role.OPERATOR, "ann", NOW)
    assert (credentials.caller.role, credentials.caller.name) == (Role.OPERATOR, "ann")
    assert credentials.caller.vault_id == "v-1"
    assert credentials.root_certificate == authority.root_certificate
    key = serialization.load_pem_private_key(credentials.private_key, None)
    leaf = x509.load_pem_x509_certificate(credentials.certificate_chain)
    assert key.public_key() == leaf.public_key()


@pytest.mark.parametrize("name", [ROOT_KEY_FILE, ISSUING_KEY_FILE, SIGNING_KEY_FILE])
def test_keys_are_encrypted_and_for_their_user_alone(tmp_path: Path, name: str) -> None:
    create(tmp_path)
    content = (tmp_path / name).read_bytes()
    assert content.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    key = serialization.load_pem_private_key(content, b"secret")
    assert isinstance(key, ec.EllipticCurvePrivateKey)


def test_a_wrong_passphrase_is_refused(tmp_path: Path) -> None:
    create(tmp_path)
    error = damage(tmp_path, b"wrong")
    assert error.code == "authority-damaged"
    assert "passphrase" in error.remedy


def test_the_root_key_is_not_needed_to_issue(tmp_path: Path) -> None:
    create(tmp_path)
    (tmp_path / ROOT_KEY_FILE).unlink()
    assert reopen(tmp_path).issue(Role.HOST, "host-1", KEY, NOW).chain


@pytest.mark.parametrize("name", [ROOT_FILE, ISSUING_FILE, ISSUING_KEY_FILE])
def test_a_missing_or_damaged_file_is_an_error(tmp_path: Path, name: str) -> None:
    create(tmp_path)
    (tmp_path / name).write_bytes(b"-----BEGIN NONSENSE-----\n")
    assert damage(tmp_path).code == "authority-damaged"
    (tmp_path / name).unlink()
    assert damage(tmp_path).code == "authority-unreadable"


@pytest.mark.parametrize("name", [ROOT_FILE, ISSUING_FILE, ISSUING_KEY_FILE])
def test_a_file_of_another_authority_is_an_error(tmp_path: Path, name: str) -> None:
    create(tmp_path / "a")
    create(tmp_path / "b", "v-2")
    (tmp_path / "b" / name).replace(tmp_path / "a" / name)
    assert damage(tmp_path / "a").code == "authority-damaged"


def test_what_the_authority_signs_is_believed_by_who_trusts_its_root(tmp_path: Path) -> None:
    made = create(tmp_path)
    signed = made.signer.sign(Kind.GRANT, b"granted")
    assert read_back(reopen(tmp_path), signed) == b"granted"
    again = reopen(tmp_path).signer.sign(Kind.GRANT, b"granted")
    assert read_back(made, again) == b"granted"


@pytest.mark.parametrize("name", [SIGNING_FILE, SIGNING_KEY_FILE])
@pytest.mark.parametrize("content", [None, b"nonsense"])
def test_a_lost_signing_certificate_is_made_anew(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    made = create(tmp_path)
    before = made.signer.sign(Kind.GRANT, b"before")
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    opened = reopen(tmp_path)
    assert read_back(opened, opened.signer.sign(Kind.GRANT, b"after")) == b"after"
    assert read_back(opened, before) == b"before"


def test_the_signing_certificate_is_renewed_past_half_of_its_life(tmp_path: Path) -> None:
    authority = create(tmp_path)
    half = NOW + LEAF_LIVES[Role.SIGNER] / 2
    before, kept = authority.signer.sign(Kind.GRANT, b"x"), (tmp_path / SIGNING_FILE).read_bytes()
    assert not authority.refresh_signer(half - timedelta(hours=1))
    assert (tmp_path / SIGNING_FILE).read_bytes() == kept
    later = half + timedelta(hours=1)
    assert authority.refresh_signer(later)
    assert not authority.refresh_signer(later)
    assert (tmp_path / SIGNING_FILE).read_bytes() != kept
    after = authority.signer.sign(Kind.GRANT, b"y")
    assert read_back(authority, before, later) == b"x"
    assert read_back(authority, after, later + LEAF_LIVES[Role.SIGNER] / 2) == b"y"
    end = NOW + LEAF_LIVES[Role.SIGNER] + timedelta(hours=1)
    assert reopen(tmp_path, now=later).signer.sign(Kind.GRANT, b"z")
    with pytest.raises(ValueError, match="valid from"):
        read_back(authority, before, end)


def test_a_remedy_names_the_passphrase_and_the_backup(tmp_path: Path) -> None:
    create(tmp_path)
    (tmp_path / ISSUING_FILE).unlink()
    assert "backup" in damage(tmp_path).remedy
    create(tmp_path / "other")
    error = damage(tmp_path / "other", b"wrong")
    assert ISSUING_KEY_FILE in error.cause
    assert "passphrase_file" in error.remedy
