import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from coordinator.authority.errors import AuthorityError
from coordinator.domain.control import VaultMode
from coordinator.domain.errors import InvalidValueError, RefusedError, UnknownObjectError
from coordinator.orchestration.founding import Founding, found_vault, open_vault
from coordinator.orchestration.machinery import only_one
from coordinator.orchestration.unfinished import write_mark
from coordinator.orchestration.vault import Addresses
from coordinator.store.errors import StoreError
from replikera.identity import Role, load_credentials
from replikera.ports.files import Files
from replikera.system.files import SystemFiles
from tests.support.dying_files import Died, DyingFiles, moments
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
            created, owned = (await records.history.page(after=0)).items
            ann = await records.operators.get("ann")
            certificate = await records.certificates.get(operator.caller.certificate_id)
            control = await records.control()
    assert (created.kind, created.subject) == ("vault-created", record.id)
    assert (owned.kind, owned.subject) == ("operator-created", ann.id)
    assert ann.is_acting_owner
    assert (certificate.role, certificate.name) == (Role.OPERATOR, "ann")
    assert (control.id, control.mode) == (record.id, VaultMode.SERVING)
    left = SystemFiles().list_directory(tmp_path / "state")
    assert left == ["authority", "coordinator.lock", "server", "vault.db"]


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


async def test_an_init_that_dies_anywhere_is_finished_by_the_next_one(tmp_path: Path) -> None:
    whole = DyingFiles()
    await founded_with(whole, tmp_path / "whole")
    were_complete = []
    for changes in moments(whole.done, step=7):
        with pytest.raises(Died):
            await founded_with(DyingFiles(changes), tmp_path / str(changes))
        were_complete.append(await finished_by_another(tmp_path / str(changes)))
    # Once the database is written there is a vault, and only its mark is left to remove.
    assert were_complete == [False] * (len(were_complete) - 1) + [True]


async def founded_with(files: DyingFiles, folder: Path) -> None:
    machine = replace(machinery(), files=cast("Files", files))
    await found_vault(machine, state_in(folder), founding(folder))


async def finished_by_another(folder: Path) -> bool:
    """Tell whether there was a vault already; make it where there was none, and see that it is whole."""
    is_complete = False
    try:
        await found_vault(machinery(), state_in(folder), founding(folder))
    except RefusedError as error:
        is_complete = error.code == "vault-exists"
    async with opened(folder) as vault:
        operator = load_credentials(SystemFiles(), folder / "profile")
        assert operator.caller.vault_id == vault.record.id
        async with vault.store.read() as records:
            assert await records.certificates.find(operator.caller.certificate_id) is not None
    assert not state_in(folder).unfinished.exists()
    return is_complete


async def test_the_authority_of_a_vault_that_once_ran_is_never_taken_for_a_leftover(
    tmp_path: Path,
) -> None:
    await make_vault(tmp_path)
    state = state_in(tmp_path)
    write_mark(SystemFiles(), state, "left by a crash at the very end of init")
    async with opened(tmp_path):
        pass
    state.database.rename(tmp_path / "moved away")
    with pytest.raises(RefusedError) as caught:
        await make_vault(tmp_path)
    assert caught.value.code == "vault-exists"
    assert (state.authority / "root.pem").exists()


async def test_two_inits_at_once_make_one_vault(tmp_path: Path) -> None:
    state = state_in(tmp_path)
    state.folder.mkdir()
    with only_one(SystemFiles(), state), pytest.raises(RefusedError) as caught:
        await found_vault(machinery(), state, founding(tmp_path))
    assert caught.value.code == "coordinator-running"
    assert SystemFiles().list_directory(state.folder) == ["coordinator.lock"]


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
