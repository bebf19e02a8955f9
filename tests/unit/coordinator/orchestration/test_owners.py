import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from coordinator.authority.requests import key_hash, requested_key
from coordinator.domain.certificates import CertificateState
from coordinator.domain.commands import BY_VAULT
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import InvalidValueError, RefusedError
from coordinator.domain.events import EventKind
from coordinator.domain.identifiers import OperatorId
from coordinator.domain.operators import Operator, OperatorRole
from coordinator.orchestration.machinery import Machinery
from coordinator.orchestration.owners import Profile, certify, first_owner, recover_owner
from coordinator.orchestration.vault import Vault
from replikera.identity import Role, load_credentials, signing_request
from replikera.system.files import SystemFiles
from tests.support.seeded_randomness import SeededRandomness
from tests.support.virtual_clock import InlineWorker, VirtualClock
from tests.unit.coordinator.vaults import machinery, save

FILES = SystemFiles()
VICTOR = Operator(OperatorId("victor"), "victor", OperatorRole.READER, VirtualClock().now())


def profile_in(folder: Path) -> Profile:
    return Profile(folder / "new profile", "vault.test:7403")


async def recovered(vault: Vault, folder: Path, name: str) -> Operator:
    machine = Machinery(FILES, vault.clock, SeededRandomness(2), InlineWorker())
    return await recover_owner(machine, vault.store, vault.authority, name, profile_in(folder))


def test_the_first_owner_is_in_the_register(vault: Vault) -> None:
    credentials, decision = first_owner(machinery(), vault.authority, "bob")
    operator, certificate = decision.aggregates
    assert isinstance(operator, Operator)
    assert (operator.name, operator.role) == ("bob", OperatorRole.OWNER)
    assert certificate.id == credentials.caller.certificate_id
    assert [event.kind for event in decision.events] == [EventKind.OPERATOR_CREATED]


def test_a_certificate_and_its_line_in_the_register_agree(vault: Vault) -> None:
    now = vault.clock.now()
    credentials, certificate = certify(vault.authority, VICTOR, now)
    caller = credentials.caller
    assert (caller.role, caller.name) == (Role.OPERATOR, "victor")
    assert (certificate.id, certificate.not_after) == (caller.certificate_id, caller.not_after)
    assert (certificate.role, certificate.name) == (Role.OPERATOR, "victor")
    assert (certificate.state, certificate.issued_at) == (CertificateState.ISSUED, now)
    key = requested_key(signing_request(credentials.private_key))
    assert certificate.public_key_hash == key_hash(key)
    assert certificate.chain == credentials.certificate_chain


async def test_a_new_owner_comes_in_where_all_were_lost(vault: Vault, tmp_path: Path) -> None:
    operator = await recovered(vault, tmp_path, "bob")
    assert (operator.name, operator.role) == ("bob", OperatorRole.OWNER)
    credentials = load_credentials(FILES, tmp_path / "new profile")
    content = json.loads((tmp_path / "new profile" / "profile.json").read_text())
    assert content["vault_id"] == vault.record.id
    async with vault.store.read() as records:
        certificate = await records.certificates.get(credentials.caller.certificate_id)
        assert certificate.state is CertificateState.ISSUED
        assert await records.operators.get("bob") == operator
        lines = (await records.history.page(subject=operator.id, after=0)).items
        assert (await records.control()).deny_list_version == 0
    assert [line.kind for line in lines] == [
        EventKind.OPERATOR_CREATED,
        EventKind.OPERATOR_RENEWED,
    ]
    assert "on the coordinator's machine" in lines[-1].detail


async def test_an_owner_gets_credentials_in_place_of_all_it_had(
    vault: Vault, tmp_path: Path
) -> None:
    old = load_credentials(FILES, tmp_path / "profile").caller
    async with vault.store.read() as records:
        ann = await records.operators.get("ann")
    assert await recovered(vault, tmp_path, "ann") == ann
    new = load_credentials(FILES, tmp_path / "new profile").caller
    async with vault.store.read() as records:
        states = {
            item.id: item.state for item in await records.certificates_of(Role.OPERATOR, "ann")
        }
        assert (await records.control()).deny_list_version == 1
        (line,) = (await records.history.page(kind=EventKind.DENY_LIST_CHANGED)).items
    assert states == {
        old.certificate_id: CertificateState.DENIED,
        new.certificate_id: CertificateState.ISSUED,
    }
    assert old.certificate_id in line.detail


async def test_certificates_that_have_expired_need_no_denial(
    vault: Vault, tmp_path: Path, clock: VirtualClock
) -> None:
    clock.advance(timedelta(days=100).total_seconds())
    await recovered(vault, tmp_path, "ann")
    async with vault.store.read() as records:
        assert (await records.control()).deny_list_version == 0


@pytest.mark.parametrize("how", ["reader", "revoked"])
async def test_who_is_no_owner_does_not_become_one(vault: Vault, tmp_path: Path, how: str) -> None:
    operator = VICTOR
    if how == "revoked":
        operator = replace(VICTOR, role=OperatorRole.OWNER, revoked_at=vault.clock.now())
    await save(vault, operator)
    with pytest.raises(RefusedError) as caught:
        await recovered(vault, tmp_path, "victor")
    assert caught.value.code == "operator-not-an-owner"
    assert how in caught.value.cause
    assert not (tmp_path / "new profile").exists()


async def test_nothing_is_stored_where_the_profile_cannot_be_written(
    vault: Vault, tmp_path: Path
) -> None:
    (tmp_path / "new profile").write_text("a file")
    with pytest.raises(OSError, match="new profile"):
        await recovered(vault, tmp_path, "bob")
    async with vault.store.write() as records:
        assert not await records.operators.is_taken("bob")
        await records.save(Decision(), BY_VAULT)


async def test_a_name_and_a_folder_are_checked_before_anything_is_made(
    vault: Vault, tmp_path: Path
) -> None:
    with pytest.raises(InvalidValueError):
        await recovered(vault, tmp_path, "ann lee")
    profile_in(tmp_path).folder.mkdir()
    (profile_in(tmp_path).folder / "profile.json").write_text("{}")
    with pytest.raises(RefusedError) as caught:
        await recovered(vault, tmp_path, "bob")
    assert caught.value.code == "profile-exists"


def test_the_profile_of_an_unfinished_vault_may_be_replaced(tmp_path: Path) -> None:
    profile = profile_in(tmp_path)
    profile.folder.mkdir()
    path = profile.folder / "profile.json"
    path.write_text('{"vault_id": "v-1"}')
    profile.check_free(FILES, "v-1")
    for vault_id in (None, "v-2"):
        with pytest.raises(RefusedError):
            profile.check_free(FILES, vault_id)
    for content in ("[]", "{", '"v-1"'):
        path.write_text(content)
        with pytest.raises(RefusedError):
            profile.check_free(FILES, "v-1")
