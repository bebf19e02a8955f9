import json
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.authority.errors import AuthorityError
from coordinator.domain.errors import InvalidValueError, RefusedError, UnknownObjectError
from coordinator.orchestration.founding import Founding, found_vault, open_vault
from coordinator.orchestration.vault import Addresses
from coordinator.store.errors import StoreError
from replikera.identity import Role, load_credentials
from replikera.system.files import SystemFiles
from tests.unit.coordinator.vaults import FOUNDING, machinery, make_vault, opened, state_in


def founding(folder: Path, **more: str) -> Founding:
    return replace(FOUNDING, profile=folder / "profile", **more)


async def test_a_vault_is_made_with_its_first_operator(tmp_path: Path) -> None:
    record = await found_vault(machinery(), state_in(tmp_path), founding(tmp_path))
    assert record.name == "home"
    operator = load_credentials(SystemFiles(), tmp_path / "profile")
    assert (operator.caller.role, operator.caller.name) == (Role.OPERATOR, "ann")
    assert operator.caller.vault_id == record.id
    assert json.loads((tmp_path / "profile" / "profile.json").read_text()) == {
        "vault_id": record.id,
        "vault_name": "home",
        "api_address": "vault.test:7403",
    }
    async with opened(tmp_path) as vault:
        assert vault.record == record
        assert vault.authority.root_certificate == operator.root_certificate
        async with vault.store.read() as records:
            (event,) = await records.history()
        assert (event.kind, event.subject) == ("vault-created", record.id)


async def test_nothing_in_the_state_folder_is_for_others_to_read(tmp_path: Path) -> None:
    await make_vault(tmp_path)
    state = tmp_path / "state"
    assert state.stat().st_mode & 0o077 == 0
    assert (tmp_path / "passphrase").stat().st_mode & 0o077 == 0
    assert (tmp_path / "profile" / "key.pem").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("lost", [None, "vault.db", "authority"])
async def test_an_existing_vault_is_never_replaced(tmp_path: Path, lost: str | None) -> None:
    await make_vault(tmp_path)
    if lost is not None:
        (tmp_path / "state" / lost).rename(tmp_path / "lost")
    before = sorted(
        (path, path.read_bytes()) for path in (tmp_path / "state").rglob("*") if path.is_file()
    )
    (tmp_path / "profile" / "profile.json").unlink()
    with pytest.raises(RefusedError) as caught:
        await make_vault(tmp_path)
    assert caught.value.code == "vault-exists"
    assert str(tmp_path / "state") in caught.value.cause
    after = sorted(
        (path, path.read_bytes()) for path in (tmp_path / "state").rglob("*") if path.is_file()
    )
    assert after == before


async def test_the_profile_of_another_vault_is_never_replaced(tmp_path: Path) -> None:
    await make_vault(tmp_path / "first")
    with pytest.raises(RefusedError) as caught:
        await found_vault(machinery(), state_in(tmp_path / "second"), founding(tmp_path / "first"))
    assert caught.value.code == "profile-exists"
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize(
    "wrong", [{"vault_name": ""}, {"operator": "ann lee"}, {"operator": "a/b"}]
)
async def test_names_that_cannot_be_are_refused_before_anything_is_made(
    tmp_path: Path, wrong: dict[str, str]
) -> None:
    with pytest.raises(InvalidValueError):
        await found_vault(machinery(), state_in(tmp_path), founding(tmp_path, **wrong))
    assert SystemFiles().list_directory(tmp_path) == []


async def test_a_folder_without_a_vault_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UnknownObjectError, match="replikera-coordinator init"):
        await open_vault(machinery(), state_in(tmp_path), Addresses("a:1", "b:1"))
    assert SystemFiles().list_directory(tmp_path) == []


async def test_a_vault_whose_passphrase_is_wrong_or_gone_does_not_open(tmp_path: Path) -> None:
    await make_vault(tmp_path)
    (tmp_path / "passphrase").write_bytes(b"wrong")
    with pytest.raises(AuthorityError) as caught:
        async with opened(tmp_path):
            pass
    assert caught.value.code == "authority-damaged"
    (tmp_path / "passphrase").unlink()
    with pytest.raises(AuthorityError) as caught:
        async with opened(tmp_path):
            pass
    assert caught.value.code == "passphrase-unreadable"
    assert not (tmp_path / "passphrase").exists()


async def test_a_database_without_a_vault_in_it_does_not_open(tmp_path: Path) -> None:
    await make_vault(tmp_path)
    for name in ("vault.db", "vault.db-wal", "vault.db-shm"):
        (tmp_path / "state" / name).unlink(missing_ok=True)
    (tmp_path / "state" / "vault.db").write_bytes(b"")
    with pytest.raises(UnknownObjectError):
        async with opened(tmp_path):
            pass
    (tmp_path / "state" / "vault.db").write_bytes(b"garbage" * 100)
    with pytest.raises(StoreError):
        async with opened(tmp_path):
            pass
