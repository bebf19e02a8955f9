"""Names in certificates and the folder an identity is kept in."""

from pathlib import Path

import pytest
from cryptography import x509

from replikera.identity import (
    IdentityError,
    Role,
    caller_from_certificate,
    dns_name,
    generate_private_key,
    load_credentials,
    root_fingerprint,
    save_credentials,
    signing_request,
    uri_name,
)
from replikera.system.files import SystemFiles
from tests.support.authority import VAULT_ID, make_authority

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
