"""Names in certificates and the folder an identity is kept in."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from replikera.identity import (
    RENEWAL_JITTER,
    Caller,
    Credentials,
    CredentialsHolder,
    IdentityError,
    Role,
    caller_from_certificate,
    dns_name,
    generate_private_key,
    load_credentials,
    renewal_time,
    root_fingerprint,
    save_credentials,
    serial_text,
    signing_request,
    uri_name,
)
from replikera.system.files import SystemFiles
from tests.support.authority import VAULT_ID, make_authority, pem
from tests.support.crash_files import CrashFiles

FILES = SystemFiles()


def test_names_follow_the_scheme() -> None:
    assert uri_name(Role.HOST, "h1", "v1") == "spiffe://v1/host/h1"
    assert dns_name(Role.HOST, "h1", "v1") == "h1.host.v1"


def test_a_certificate_tells_role_name_vault_serial_and_end() -> None:
    issued = make_authority().issue(Role.OPERATOR, "ann")
    caller = caller_from_certificate(issued.certificate_chain)
    leaf = x509.load_pem_x509_certificate(issued.certificate_chain)
    assert (caller.role, caller.name, caller.vault_id) == (Role.OPERATOR, "ann", VAULT_ID)
    assert caller.serial == leaf.serial_number
    assert caller.not_after == leaf.not_valid_after_utc


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["spiffe://v/host/a", "spiffe://v/host/b"],
        ["https://v/host/a"],
        ["spiffe://v/king/a"],
        ["spiffe://v/host/"],
        ["spiffe://v/host/a/b"],
        ["spiffe:///host/a"],
    ],
)
def test_a_certificate_without_exactly_one_name_of_a_vault_is_no_identity(uris: list[str]) -> None:
    issued = make_authority().issue(Role.HOST, "h", uris=uris)
    with pytest.raises(IdentityError):
        caller_from_certificate(issued.certificate_chain)


def test_bytes_that_are_no_certificate_are_no_identity() -> None:
    with pytest.raises(IdentityError, match="not a certificate"):
        caller_from_certificate(b"hello")


def test_a_request_proves_possession_and_carries_no_name() -> None:
    request = x509.load_der_x509_csr(signing_request(generate_private_key()))
    assert request.is_signature_valid
    assert len(request.subject) == 0


def test_saved_credentials_load_again_and_the_key_is_private(tmp_path: Path) -> None:
    credentials = make_authority().issue(Role.HOST, "h")
    save_credentials(FILES, tmp_path / "identity", credentials)
    assert load_credentials(FILES, tmp_path / "identity") == credentials
    assert (tmp_path / "identity/key.pem").stat().st_mode & 0o077 == 0


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    credentials = make_authority().issue(Role.HOST, "h")
    save_credentials(FILES, tmp_path, credentials)
    (tmp_path / "key.pem").write_bytes(generate_private_key())
    with pytest.raises(IdentityError, match="key.pem is not the key"):
        load_credentials(FILES, tmp_path)


def test_a_missing_identity_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match=str(tmp_path)):
        load_credentials(FILES, tmp_path)


def test_a_fingerprint_is_that_of_the_der(tmp_path: Path) -> None:
    root = make_authority().root_pem
    assert len(root_fingerprint(root)) == 64
    assert root_fingerprint(root) != root_fingerprint(make_authority().root_pem)
    with pytest.raises(IdentityError):
        root_fingerprint(b"nothing")


def test_a_caller_tells_its_names_in_registers_and_certificates() -> None:
    caller = Caller(Role.HOST, "h1", "v1", 0x1ABC, datetime(2026, 1, 1, tzinfo=UTC))
    assert caller.certificate_id == serial_text(0x1ABC) == "1abc"
    assert caller.uri == "spiffe://v1/host/h1"


def test_the_holder_tells_its_subscribers_of_every_replacement() -> None:
    authority = make_authority()
    first, second = authority.issue(Role.HOST, "h"), authority.issue(Role.HOST, "h")
    holder = CredentialsHolder(first)
    told: list[Credentials] = []
    holder.subscribe(told.append)
    assert (holder.current, told) == (first, [])
    holder.replace(second)
    assert (holder.current, told) == (second, [second])


def test_a_renewal_is_due_at_half_of_the_life_give_or_take_the_jitter() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    leaf = make_authority().leaf(key, ["x"], validity=(start, start + timedelta(days=10)))
    assert renewal_time(pem(leaf)) == start + timedelta(days=5)
    assert renewal_time(pem(leaf), RENEWAL_JITTER) == start + timedelta(days=5.5)
    assert renewal_time(pem(leaf), -RENEWAL_JITTER) == start + timedelta(days=4.5)
    with pytest.raises(IdentityError):
        renewal_time(b"?")


@pytest.mark.parametrize("name", ["key.pem", "certificate.pem", "root.pem"])
def test_a_missing_or_damaged_file_is_an_error_that_names_the_folder(
    tmp_path: Path, name: str
) -> None:
    save_credentials(FILES, tmp_path, make_authority().issue(Role.HOST, "h"))
    (tmp_path / name).unlink()
    with pytest.raises(IdentityError, match=name):
        load_credentials(FILES, tmp_path)
    (tmp_path / name).write_bytes(b"x" * 70_000)
    with pytest.raises(IdentityError, match=str(tmp_path)):
        load_credentials(FILES, tmp_path)


@pytest.mark.parametrize("name", ["key.pem", "certificate.pem"])
def test_a_damaged_file_is_an_error(tmp_path: Path, name: str) -> None:
    save_credentials(FILES, tmp_path, make_authority().issue(Role.HOST, "h"))
    (tmp_path / name).write_bytes(b"?")
    with pytest.raises(IdentityError, match="is damaged"):
        load_credentials(FILES, tmp_path)


def test_a_crash_while_they_are_replaced_leaves_the_old_or_the_new_ones() -> None:
    authority = make_authority()
    old, new = authority.issue(Role.HOST, "h"), authority.issue(Role.HOST, "h")
    folder, chooser = Path("/identity"), random.Random(1)
    files = CrashFiles()
    save_credentials(files, folder, old)
    files.sync_directory(Path("/"))
    found = set()

    def crash(_operation: str, _path: Path) -> None:
        for state in files.crash_states(chooser):
            loaded = load_credentials(state, folder)
            assert loaded in {old, new}
            found.add(loaded)
            save_credentials(state, folder, new)
            assert load_credentials(state, folder) == new
            assert state.list_directory(folder) == ["certificate.pem", "key.pem", "root.pem"]

    files.before = crash
    save_credentials(files, folder, new)
    assert found == {old, new}
