import hashlib
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from coordinator.authority.errors import AuthorityError
from coordinator.domain.control import VaultMode
from coordinator.domain.errors import RefusedError, UnknownObjectError
from coordinator.domain.events import EventKind
from coordinator.domain.reconciliation import SKIPPED_LINES
from coordinator.orchestration.backup import Backups
from coordinator.orchestration.founding import open_vault
from coordinator.orchestration.machinery import StateDirectory
from coordinator.orchestration.restore import Examined, restore_backup, verify_backup
from coordinator.orchestration.vault import Addresses, Vault
from coordinator.store.errors import StoreError
from replikera.backup import (
    BackupError,
    Manifest,
    Member,
    beginning,
    ending,
    header,
    padding,
    read_manifest,
    unpack,
)
from replikera.ports.files import Files
from replikera.system.files import SystemFiles
from tests.support.dying_files import Died, DyingFiles, moments
from tests.unit.coordinator.vaults import BY_ANN, machinery, opened, protect, state_in

FILES = SystemFiles()


@pytest.fixture
async def archive(vault: Vault, tmp_path: Path) -> Path:
    """A backup of a vault with a protection, beside it."""
    await protect(vault)
    return await backed_up(vault, tmp_path)


async def backed_up(vault: Vault, folder: Path) -> Path:
    path = folder / "b.tar"
    async with Backups(machinery(), state_in(folder)).take(vault, BY_ANN) as backup:
        async for chunk in backup.chunks():
            FILES.append(path, chunk)
    return path


@pytest.fixture
def elsewhere(tmp_path: Path) -> StateDirectory:
    """Another machine, with the passphrase."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(tmp_path / "passphrase", folder / "passphrase")
    return state_in(folder)


async def verified(archive: Path, passphrase: bytes | None = None) -> Examined:
    return await verify_backup(machinery(), archive, archive.with_name("scratch"), passphrase)


async def restored(archive: Path, state: StateDirectory) -> Manifest:
    return await restore_backup(machinery(), archive, state)


async def test_a_restored_vault_is_the_one_of_the_backup_and_asks_its_hosts(
    archive: Path, elsewhere: StateDirectory, vault: Vault
) -> None:
    manifest = await restored(archive, elsewhere)
    assert manifest == read_manifest(FILES, archive)
    async with opened(elsewhere.folder.parent) as again:
        assert again.record == vault.record
        assert again.authority.fingerprint == vault.authority.fingerprint
        async with again.store.read() as records:
            control = await records.control()
            head = await records.head()
            line = await records.history.line(head.number)
            assert (await records.protections.get("web")).machine_name == "web"
            assert len((await records.jobs_page()).items) == 1
        assert control.mode is VaultMode.RECONCILING
        assert line is not None
        assert line.kind is EventKind.VAULT_RESTORED
        assert "from the backup of 2026-01-01 00:00:00 UTC" in line.detail
        assert line.number == manifest.head_number + SKIPPED_LINES + 1
        assert await again.store.verify_history() == head
    left = set(FILES.list_directory(elsewhere.folder))
    assert left == {"authority", "coordinator.lock", "server", "vault.db"}
    assert all(at.stat().st_mode & 0o077 == 0 for at in elsewhere.folder.rglob("*"))


def whole(path: Path) -> bytes:
    return path.read_bytes()


async def test_a_good_backup_is_verified_and_left_alone(archive: Path, tmp_path: Path) -> None:
    before = whole(archive)
    for passphrase in (None, (tmp_path / "passphrase").read_bytes().strip()):
        examined = await verified(archive, passphrase)
        assert examined.manifest == read_manifest(FILES, archive)
        assert (examined.hosts, examined.protections) == (2, 1)
    assert whole(archive) == before
    assert not (tmp_path / "scratch").exists()


async def test_a_folder_with_something_in_it_is_not_tried_in(archive: Path, tmp_path: Path) -> None:
    mine = tmp_path / "scratch" / "mine"
    mine.mkdir(parents=True)
    with pytest.raises(RefusedError) as caught:
        await verified(archive)
    assert caught.value.code == "scratch-exists"
    assert mine.exists()


async def test_a_backup_whose_keys_another_passphrase_opens_is_told(
    archive: Path, tmp_path: Path
) -> None:
    with pytest.raises(AuthorityError):
        await verified(archive, b"wrong")
    assert not (tmp_path / "scratch").exists()


class Repacked:
    """A backup that was taken apart and put together again, whole by its own manifest."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.folder = folder
        self._archive = archive
        self._manifest = unpack(FILES, archive, folder)

    def packed(self, **more: Any) -> Path:
        """Pack what is in the folder now under a manifest with `more` changed."""
        contents = {
            str(at.relative_to(self.folder)): at.read_bytes()
            for at in sorted(self.folder.rglob("*"))
            if at.is_file()
        }
        members = tuple(
            Member(name, len(content), hashlib.sha256(content).hexdigest())
            for name, content in contents.items()
        )
        manifest = replace(self._manifest, members=members, **more)
        parts = [beginning(manifest)]
        for name, content in contents.items():
            parts += [header(name, len(content), manifest.created_at), content]
            parts.append(padding(len(content)))
        self._archive.write_bytes(b"".join([*parts, ending(manifest)]))
        return self._archive

    def run(self, *statements: str) -> None:
        """Change the database behind the vault's back."""
        database = sqlite3.connect(self.folder / "vault.db", isolation_level=None)
        for statement in statements:
            database.execute(statement)
        database.close()


@pytest.fixture
def repacked(archive: Path, tmp_path: Path) -> Repacked:
    return Repacked(archive, tmp_path / "apart")


async def refused_by_both(
    repacked: Path, state: StateDirectory, kind: type[Exception]
) -> Exception:
    with pytest.raises(kind) as caught:
        await verified(repacked)
    with pytest.raises(kind):
        await restored(repacked, state)
    with pytest.raises(UnknownObjectError):
        async with opened_as_it_is(state):
            pass
    return caught.value


@asynccontextmanager
async def opened_as_it_is(state: StateDirectory) -> AsyncIterator[Vault]:
    """Open the vault of a folder, which is not made where there is none."""
    vault = await open_vault(machinery(), state, Addresses("a:1", "b:1"))
    try:
        yield vault
    finally:
        await vault.store.close()


async def test_a_history_that_was_changed_in_the_backup_is_found(
    repacked: Repacked, elsewhere: StateDirectory
) -> None:
    repacked.run("UPDATE events SET detail = 'nothing' WHERE number = 3")
    error = await refused_by_both(repacked.packed(), elsewhere, StoreError)
    assert isinstance(error, StoreError)
    assert error.code == "history-broken"


async def test_a_database_that_is_not_the_manifests_is_found(
    repacked: Repacked, elsewhere: StateDirectory
) -> None:
    for more in (
        {"vault_id": "other"},
        {"vault_name": "other"},
        {"head_number": 1},
        {"head_digest": bytes(32)},
    ):
        await refused_by_both(repacked.packed(**more), elsewhere, BackupError)


async def test_a_damaged_database_in_a_whole_archive_is_found(
    repacked: Repacked, elsewhere: StateDirectory
) -> None:
    database = repacked.folder / "vault.db"
    content = bytearray(database.read_bytes())
    content[-3 * 4096 :] = bytes(3 * 4096)
    database.write_bytes(content)
    await refused_by_both(repacked.packed(), elsewhere, StoreError)


async def test_a_database_of_a_newer_version_is_told(
    repacked: Repacked, elsewhere: StateDirectory
) -> None:
    repacked.run("UPDATE alembic_version SET version_num = '9999'")
    error = await refused_by_both(repacked.packed(), elsewhere, StoreError)
    assert isinstance(error, StoreError)
    assert error.code == "database-newer"


@pytest.mark.parametrize("name", ["root.pem", "issuing.pem", "issuing-key.pem"])
async def test_a_backup_without_its_authority_is_refused(
    repacked: Repacked, elsewhere: StateDirectory, name: str
) -> None:
    (repacked.folder / "authority" / name).unlink()
    error = await refused_by_both(repacked.packed(), elsewhere, AuthorityError)
    assert name in str(error)


async def test_a_root_key_that_is_kept_elsewhere_is_not_missed(
    repacked: Repacked, elsewhere: StateDirectory
) -> None:
    (repacked.folder / "authority" / "root-key.pem").unlink()
    archive = repacked.packed()
    await verified(archive)
    await restored(archive, elsewhere)


async def test_a_backup_is_restored_into_an_empty_folder_alone(
    archive: Path, elsewhere: StateDirectory
) -> None:
    elsewhere.folder.mkdir()
    (elsewhere.folder / "notes.txt").write_text("mine")
    with pytest.raises(RefusedError, match=r"notes\.txt") as caught:
        await restored(archive, elsewhere)
    assert caught.value.code == "state-directory-not-empty"
    assert FILES.list_directory(elsewhere.folder) == ["notes.txt"]


async def test_a_vault_is_never_replaced(archive: Path, elsewhere: StateDirectory) -> None:
    await restored(archive, elsewhere)
    before = elsewhere.database.read_bytes()
    with pytest.raises(RefusedError):
        await restored(archive, elsewhere)
    assert elsewhere.database.read_bytes() == before


async def test_the_passphrase_has_to_be_there_first(
    archive: Path, elsewhere: StateDirectory
) -> None:
    elsewhere.passphrase_file.write_bytes(b"wrong")
    with pytest.raises(AuthorityError) as caught:
        await restored(archive, elsewhere)
    assert caught.value.code == "authority-damaged"
    elsewhere.passphrase_file.unlink()
    with pytest.raises(AuthorityError) as caught:
        await restored(archive, elsewhere)
    assert caught.value.code == "passphrase-unreadable"


async def test_a_passphrase_in_the_folder_itself_is_in_nobodys_way(
    archive: Path, elsewhere: StateDirectory
) -> None:
    state = StateDirectory(elsewhere.folder, elsewhere.folder / "passphrase")
    state.folder.mkdir()
    shutil.copy(elsewhere.passphrase_file, state.passphrase_file)
    await restored(archive, state)
    async with opened_as_it_is(state) as vault:
        assert vault.record.name == "home"


async def test_a_volume_without_space_is_told_before_anything_is_written(
    archive: Path, elsewhere: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SystemFiles, "free_space", lambda _files, _path: 1000)
    with pytest.raises(BackupError) as caught:
        await restored(archive, elsewhere)
    assert caught.value.code == "disk-full"
    assert not elsewhere.restoring.exists()


async def test_a_restore_that_dies_anywhere_leaves_no_vault_or_the_whole_one(
    archive: Path, elsewhere: StateDirectory
) -> None:
    whole = DyingFiles()
    await restored_with(whole, archive, elsewhere)
    left = []
    for changes in moments(whole.done, step=5):
        shutil.rmtree(elsewhere.folder)
        with pytest.raises(Died):
            await restored_with(DyingFiles(changes), archive, elsewhere)
        left.append(await as_it_was_left(elsewhere, archive))
    assert left == ["nothing"] * left.count("nothing") + ["whole"] * left.count("whole")
    assert set(left) == {"nothing", "whole"}


async def restored_with(files: DyingFiles, archive: Path, state: StateDirectory) -> None:
    await restore_backup(replace(machinery(), files=cast("Files", files)), archive, state)


async def as_it_was_left(state: StateDirectory, archive: Path) -> str:
    try:
        async with opened_as_it_is(state) as vault, vault.store.read() as records:
            assert (await records.control()).mode is VaultMode.RECONCILING
            return "whole"
    except UnknownObjectError:
        pass
    # The same command again, where the other died, comes to its end.
    await restored(archive, state)
    async with opened_as_it_is(state) as vault:
        await vault.store.verify_history()
    return "nothing"
