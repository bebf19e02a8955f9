from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from coordinator.authority.certificates import KeyPair, make_root
from coordinator.authority.errors import AuthorityError
from coordinator.authority.keys import (
    UnusableError,
    new_key,
    pem,
    read_certificate,
    read_pair,
    write_key,
    write_pair,
)
from replikera.system.files import SystemFiles
from tests.unit.coordinator.examples import NOW

FILES = SystemFiles()


@pytest.fixture
def pair() -> KeyPair:
    return make_root(new_key(), "v-1", 1, NOW)


def read(folder: Path, passphrase: bytes = b"secret") -> KeyPair:
    return read_pair(FILES, folder / "c.pem", folder / "k.pem", passphrase)


def test_a_pair_reads_back_and_its_key_is_encrypted(tmp_path: Path, pair: KeyPair) -> None:
    write_pair(FILES, tmp_path / "c.pem", tmp_path / "k.pem", pair, b"secret")
    found = read(tmp_path)
    assert found.certificate == pair.certificate
    assert found.key.private_numbers() == pair.key.private_numbers()
    assert b"ENCRYPTED" in (tmp_path / "k.pem").read_bytes()
    assert (tmp_path / "k.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("passphrase", [b"wrong", b""])
def test_a_key_does_not_open_with_another_passphrase(
    tmp_path: Path, pair: KeyPair, passphrase: bytes
) -> None:
    write_pair(FILES, tmp_path / "c.pem", tmp_path / "k.pem", pair, b"secret")
    with pytest.raises(UnusableError, match=r"k\.pem does not open"):
        read(tmp_path, passphrase)


def test_a_key_of_another_certificate_or_of_another_kind_is_refused(
    tmp_path: Path, pair: KeyPair
) -> None:
    write_pair(FILES, tmp_path / "c.pem", tmp_path / "k.pem", pair, b"secret")
    write_key(FILES, tmp_path / "k.pem", new_key(), b"secret")
    with pytest.raises(UnusableError, match=r"k\.pem is not the key of c\.pem"):
        read(tmp_path)
    strange = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "k.pem").write_bytes(strange)
    with pytest.raises(UnusableError, match=r"k\.pem is not the key of c\.pem"):
        read(tmp_path)


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path, pair: KeyPair) -> None:
    (tmp_path / "c.pem").write_bytes(b"?")
    with pytest.raises(UnusableError, match=r"c\.pem is not a certificate"):
        read_certificate(FILES, tmp_path / "c.pem")
    (tmp_path / "c.pem").write_bytes(pem(pair.certificate))
    assert read_certificate(FILES, tmp_path / "c.pem") == pair.certificate


@pytest.mark.parametrize("content", [None, b"x" * 70_000])
def test_a_missing_or_huge_file_is_named_with_a_remedy(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "c.pem").write_bytes(content)
    with pytest.raises(AuthorityError) as caught:
        read_certificate(FILES, tmp_path / "c.pem")
    assert str(tmp_path / "c.pem") in caught.value.cause
    assert "backup" in caught.value.remedy
