import base64
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from replikera.cli.client import VaultClient
from replikera.cli.errors import AnswerError, CommandError, UnreachableError
from replikera.cli.profile import Profile, load_profile
from replikera.cli.renewal import renew_certificate
from replikera.identity import Credentials, Role, load_credentials, save_credentials
from replikera.system.files import SystemFiles
from tests.support.authority import Authority
from tests.support.crash_files import CrashFiles
from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.issuing import Issuing
from tests.unit.replikera.cli.running import Cli

FILES = SystemFiles()
PATH = "/operators/self/renew"


@pytest.fixture
def profile(cli: Cli) -> Profile:
    return load_profile(FILES, cli.profile, datetime.now(UTC))


@pytest.fixture
async def client(cli: Cli, profile: Profile) -> AsyncIterator[VaultClient]:
    async with VaultClient(profile, cli.ports) as opened:
        yield opened


async def test_the_new_credentials_take_the_place_of_the_old_ones(
    client: VaultClient, vault: FakeVault, authority: Authority, operator: Credentials, cli: Cli
) -> None:
    vault.acts("POST", PATH, Issuing(authority, "ada"))
    renewed = await renew_certificate(client, FILES)
    assert load_credentials(FILES, cli.profile) == renewed
    assert renewed.private_key != operator.private_key
    assert renewed.certificate_chain != operator.certificate_chain
    names = sorted(path.name for path in cli.profile.iterdir())
    assert names == ["certificate.pem", "key.pem", "profile.json", "root.pem"]


async def test_a_renewal_whose_answer_was_lost_goes_on_with_the_same_key(
    client: VaultClient, vault: FakeVault, authority: Authority, operator: Credentials, cli: Cli
) -> None:
    issuing = Issuing(authority, "ada")
    vault.hangs_up_before("POST", PATH, {}, times=99)
    with pytest.raises(UnreachableError):
        await renew_certificate(client, FILES)
    assert load_credentials(FILES, cli.profile) == operator
    vault.acts("POST", PATH, issuing)
    await renew_certificate(client, FILES)
    asked = {request[2]["certificate_signing_request"] for request in vault.requests}
    keys = {_public_key(request) for request in asked}
    assert keys == {_public_key_of(load_credentials(FILES, cli.profile))}


async def test_a_refused_renewal_keeps_what_works(
    client: VaultClient, vault: FakeVault, operator: Credentials, cli: Cli
) -> None:
    vault.refuses(
        "POST", PATH, 409, code="vault-reconciling", detail="It reconciles", remedy="Wait"
    )
    with pytest.raises(CommandError, match="It reconciles"):
        await renew_certificate(client, FILES)
    assert load_credentials(FILES, cli.profile) == operator


async def test_an_unfit_certificate_is_not_kept(
    client: VaultClient, vault: FakeVault, authority: Authority, operator: Credentials, cli: Cli
) -> None:
    vault.acts("POST", PATH, Issuing(authority, "eve"))
    with pytest.raises(AnswerError):
        await renew_certificate(client, FILES)
    assert load_credentials(FILES, cli.profile) == operator


@pytest.mark.parametrize("left", [b"no key", b"", b"\xff"])
async def test_a_damaged_left_over_key_is_replaced(
    client: VaultClient, vault: FakeVault, authority: Authority, cli: Cli, left: bytes
) -> None:
    (cli.profile / "next-key.pem").write_bytes(left)
    vault.acts("POST", PATH, Issuing(authority, "ada"))
    assert (await renew_certificate(client, FILES)).caller.name == "ada"


async def test_the_key_in_use_is_never_asked_for_again(
    client: VaultClient, vault: FakeVault, authority: Authority, operator: Credentials, cli: Cli
) -> None:
    (cli.profile / "next-key.pem").write_bytes(operator.private_key)
    vault.acts("POST", PATH, Issuing(authority, "ada"))
    assert (await renew_certificate(client, FILES)).private_key != operator.private_key


async def test_a_crash_anywhere_leaves_credentials_that_work(
    cli: Cli, vault: FakeVault, authority: Authority, operator: Credentials, profile: Profile
) -> None:
    files, chooser = CrashFiles(), random.Random(1)
    save_credentials(files, profile.folder, operator)
    _sync_all(files, profile.folder)
    issuing = Issuing(authority, "ada")
    vault.acts("POST", PATH, issuing)
    found = set()

    def crash(_operator: str, _path: Path) -> None:
        for state in files.crash_states(chooser):
            loaded = load_credentials(state, profile.folder)
            assert loaded.caller.role is Role.OPERATOR
            found.add(loaded == operator)

    files.before = crash
    async with VaultClient(profile, cli.ports) as client:
        await renew_certificate(client, files)
    assert found == {True, False}
    assert len(issuing.keys) == 1


def _sync_all(files: CrashFiles, folder: Path) -> None:
    for path in (folder, *folder.parents):
        files.sync_directory(path)


def _public_key(request: str) -> bytes:
    key = x509.load_der_x509_csr(base64.b64decode(request)).public_key()
    return _encoded(key)


def _public_key_of(credentials: Credentials) -> bytes:
    return _encoded(x509.load_pem_x509_certificate(credentials.certificate_chain).public_key())


def _encoded(key: object) -> bytes:
    encoding = serialization.Encoding.DER
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    encoded: bytes = key.public_bytes(encoding, form)  # type: ignore[attr-defined]
    return encoded
