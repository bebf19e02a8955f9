import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from coordinator.domain.errors import RefusedError
from coordinator.domain.events import EventKind
from coordinator.orchestration.backup import SPARE_BYTES, Backup, Backups
from coordinator.orchestration.vault import Vault
from coordinator.store.errors import StoreError
from replikera.backup import read_manifest, unpack
from replikera.system.files import SystemFiles
from tests.unit.coordinator.vaults import BY_ANN, machinery, protect, state_in

FILES = SystemFiles()


@pytest.fixture
def backups(vault: Vault, tmp_path: Path) -> Backups:
    return Backups(machinery(), state_in(tmp_path))


async def download(backup: Backup, path: Path) -> Path:
    chunks = [chunk async for chunk in backup.chunks()]
    assert sum(map(len, chunks)) == backup.size
    FILES.append(path, b"".join(chunks))
    return path


async def test_a_backup_holds_the_whole_vault(
    vault: Vault, backups: Backups, tmp_path: Path
) -> None:
    await protect(vault)
    async with backups.take(vault, BY_ANN) as backup:
        path = await download(backup, tmp_path / "b.tar")
        manifest = read_manifest(FILES, path)
        assert manifest == backup.manifest
        assert backup.file_name == "replikera-vault-20260101T000000Z.tar"
    assert (manifest.vault_id, manifest.vault_name) == (vault.record.id, "home")
    unpack(FILES, path, tmp_path / "out")
    authority = state_in(tmp_path).authority
    for name in FILES.list_directory(authority):
        assert (tmp_path / "out/authority" / name).read_bytes() == (authority / name).read_bytes()
    names = [item.name for item in manifest.members]
    assert "authority/issuing-key.pem" in names
    assert not any("passphrase" in name for name in names)
    assert FILES.status(state_in(tmp_path).backups) is None


async def test_the_history_tells_of_it_in_the_vault_and_in_the_copy(
    vault: Vault, backups: Backups
) -> None:
    async with backups.take(vault, BY_ANN) as backup, vault.store.read() as records:
        head = await records.head()
        line = await records.history.line(head.number)
    assert line is not None
    assert (line.kind, line.actor) == (EventKind.VAULT_BACKED_UP, "operator/ann")
    assert (backup.manifest.head_number, backup.manifest.head_digest) == (head.number, head.digest)


async def test_a_vault_whose_root_key_is_kept_elsewhere_is_backed_up(
    vault: Vault, backups: Backups, tmp_path: Path
) -> None:
    (state_in(tmp_path).authority / "root-key.pem").unlink()
    async with backups.take(vault, BY_ANN) as backup:
        assert "authority/root-key.pem" not in [item.name for item in backup.manifest.members]
        assert hashlib.sha256(
            (state_in(tmp_path).backups / "vault.db").read_bytes()
        ).hexdigest() in [item.sha256 for item in backup.manifest.members]


async def test_a_second_backup_has_to_wait(vault: Vault, backups: Backups) -> None:
    async with backups.take(vault, BY_ANN):
        with pytest.raises(RefusedError) as caught:
            async with backups.take(vault, BY_ANN):
                pass
        assert caught.value.code == "backup-running"
    async with backups.take(vault, BY_ANN):
        pass


async def test_a_download_that_breaks_off_leaves_nothing(
    vault: Vault, backups: Backups, tmp_path: Path
) -> None:
    with pytest.raises(ConnectionError):
        async with backups.take(vault, BY_ANN) as backup:
            async with closing(backup.chunks()) as chunks:
                await anext(chunks)
            raise ConnectionError
    assert FILES.status(state_in(tmp_path).backups) is None
    async with backups.take(vault, BY_ANN) as backup:
        await download(backup, tmp_path / "b.tar")


@asynccontextmanager
async def closing(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    try:
        yield chunks
    finally:
        await chunks.aclose()  # type: ignore[attr-defined]


async def test_what_a_killed_coordinator_left_is_removed(
    vault: Vault, backups: Backups, tmp_path: Path
) -> None:
    folder = state_in(tmp_path).backups
    folder.mkdir()
    (folder / "vault.db").write_bytes(b"half")
    async with backups.take(vault, BY_ANN) as backup:
        await download(backup, tmp_path / "b.tar")
    assert not folder.exists()


async def test_a_backup_that_cannot_be_written_is_told_and_leaves_nothing(
    vault: Vault, backups: Backups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_target: Path) -> None:
        raise StoreError("disk-full", "The database x cannot grow.", "Free space on its volume.")

    with monkeypatch.context() as patch:
        patch.setattr(vault.store, "snapshot", full)
        with pytest.raises(StoreError):
            async with backups.take(vault, BY_ANN):
                pass
    assert not state_in(tmp_path).backups.exists()
    async with backups.take(vault, BY_ANN):
        pass


async def test_the_volume_is_not_filled_for_a_backup(
    vault: Vault, backups: Backups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SystemFiles, "free_space", lambda _files, _path: SPARE_BYTES)
    with pytest.raises(StoreError) as caught:
        async with backups.take(vault, BY_ANN):
            pass
    assert caught.value.code == "disk-full"
    assert str(state_in(tmp_path).folder) in caught.value.cause
    async with vault.store.read() as records:
        assert (await records.history.page(kind=EventKind.VAULT_BACKED_UP)).items == ()


async def test_a_database_that_no_backup_can_hold_is_told(
    vault: Vault, backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.orchestration.backup.MAX_FILE_BYTES", 1000)
    with pytest.raises(StoreError) as caught:
        async with backups.take(vault, BY_ANN):
            pass
    assert caught.value.code == "backup-too-large"


async def test_decisions_go_on_while_a_backup_is_downloaded(
    vault: Vault, backups: Backups, tmp_path: Path
) -> None:
    async with backups.take(vault, BY_ANN) as backup:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(protect(vault))
            tasks.create_task(download(backup, tmp_path / "b.tar"))
        async with vault.store.read() as records:
            assert (await records.head()).number > backup.manifest.head_number
