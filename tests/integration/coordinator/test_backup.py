"""A backup over REST: taken while the vault works, verified and restored by the command."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coordinator.main import app
from replikera.backup import read_manifest
from replikera.system.files import SystemFiles
from tests.integration.coordinator.backups import download, restore_elsewhere
from tests.integration.coordinator.running_vault import RunningVault, running
from tests.integration.coordinator.test_the_line import Sites, protect, two_sites

FILES = SystemFiles()


@pytest.fixture
async def sites(vault: RunningVault) -> Sites:
    return await two_sites(vault)


async def test_a_backup_of_a_working_vault_can_be_restored(sites: Sites, tmp_path: Path) -> None:
    vault = sites.vault
    async with sites.sessions() as (source, target):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(protect(vault, source, target))
            early = tasks.create_task(download(vault, tmp_path / "early.tar"))
        late = await download(vault, tmp_path / "late.tar")
    manifests = [read_manifest(FILES, path) for path in (early.result(), late)]
    assert manifests[0].head_number < manifests[1].head_number
    assert {manifest.vault_id for manifest in manifests} == {vault.vault_id}
    passphrase = str(vault.folder / "passphrase")
    for path in (tmp_path / "early.tar", tmp_path / "late.tar"):
        arguments = ["verify-backup", str(path), "--passphrase-file", passphrase]
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert result.exit_code == 0, result.stderr
        assert "can be restored: vault home" in " ".join(result.stdout.split())


async def test_a_restored_vault_serves_its_operators_under_the_same_root(
    sites: Sites, tmp_path: Path
) -> None:
    vault = sites.vault
    path = await download(vault, tmp_path / "backup.tar")
    before = await vault.get("/vault")
    folder = await restore_elsewhere(vault, path)
    async with running(folder) as restored:
        after = await restored.get("/vault")
        assert (after["id"], after["fingerprint"]) == (before["id"], before["fingerprint"])
        assert (before["mode"], after["mode"]) == ("serving", "reconciling")
        assert {host["name"] for host in (await restored.call("GET", "/hosts")).items} == {
            "a1",
            "b1",
        }
        lines = (await restored.call("GET", "/audit?after=0&limit=1000")).items
        kinds = [line["kind"] for line in lines]
        assert kinds[-2:] == ["vault-backed-up", "vault-restored"]
        assert lines[-2]["actor"] == "operator/ann"
        assert after["head"]["number"] == lines[-1]["number"]


async def test_only_owners_take_backups(vault: RunningVault) -> None:
    for role in ("contributor", "operator", "reader", "auditor"):
        credentials = await vault.new_operator(f"the-{role}", role)
        answer = await vault.call("GET", "/vault/backup", credentials=credentials)
        assert answer.status == 403


async def test_nothing_of_a_backup_stays_in_the_state_directory(
    vault_folder: Path, tmp_path: Path
) -> None:
    async with running(vault_folder) as vault:
        await download(vault, tmp_path / "backup.tar")
    assert "backups" not in FILES.list_directory(vault_folder / "state")
