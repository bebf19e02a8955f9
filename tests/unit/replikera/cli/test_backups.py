import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer

from replikera.backup import Manifest, Member, beginning, ending, header, padding
from replikera.cli.backups import (
    fetch_backup,
    manifest_document,
    read_backup,
    run_coordinator,
)
from replikera.cli.client import VaultClient
from replikera.cli.errors import (
    AnswerLostError,
    AuthenticationError,
    CommandError,
    ConflictError,
    NotFoundError,
)
from replikera.cli.profile import load_profile
from replikera.ports.processes import Completed
from replikera.system.files import SystemFiles
from tests.support.lab import ScriptedProcesses
from tests.unit.replikera.cli.fake_vault import Answer, FakeVault
from tests.unit.replikera.cli.running import Cli

FILES = SystemFiles()
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONTENT = bytes(range(256)) * 5000
MANIFEST = Manifest(
    *("v-1", "home", NOW, 17, b"d" * 32),
    (Member("vault.db", len(CONTENT), hashlib.sha256(CONTENT).hexdigest()),),
)


def archive() -> bytes:
    parts = [beginning(MANIFEST), header("vault.db", len(CONTENT), NOW), CONTENT]
    return b"".join([*parts, padding(len(CONTENT)), ending(MANIFEST)])


@pytest.fixture
async def client(cli: Cli) -> AsyncIterator[VaultClient]:
    profile = load_profile(FILES, cli.profile, cli.clock.now())
    async with VaultClient(profile, cli.ports) as opened:
        yield opened


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


async def test_a_backup_is_written_whole_for_its_owner_alone(
    client: VaultClient, vault: FakeVault, tmp_path: Path
) -> None:
    vault.blurts("GET", "/vault/backup", Answer(200, archive(), "application/x-tar"))
    path = tmp_path / "b.tar"
    assert await fetch_backup(client, FILES, path) == MANIFEST
    assert path.read_bytes() == archive()
    assert path.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["b.tar"]


async def test_a_backup_that_breaks_off_is_no_file(
    client: VaultClient, vault: FakeVault, tmp_path: Path
) -> None:
    vault.breaks_off("GET", "/vault/backup", archive()[:5000])
    with pytest.raises(AnswerLostError):
        await fetch_backup(client, FILES, tmp_path / "b.tar")
    assert names(tmp_path) == []


async def test_an_answer_that_is_no_backup_is_no_file(
    client: VaultClient, vault: FakeVault, tmp_path: Path
) -> None:
    vault.blurts("GET", "/vault/backup", Answer(200, b"x" * 1024, "application/x-tar"))
    with pytest.raises(CommandError, match="is not a backup"):
        await fetch_backup(client, FILES, tmp_path / "b.tar")
    assert names(tmp_path) == []


async def test_a_refusal_leaves_no_file(
    client: VaultClient, vault: FakeVault, tmp_path: Path
) -> None:
    vault.refuses("GET", "/vault/backup", 403, code="role-not-allowed", detail="For owners")
    with pytest.raises(AuthenticationError, match="For owners"):
        await fetch_backup(client, FILES, tmp_path / "b.tar")
    assert names(tmp_path) == []


async def test_a_file_that_is_there_is_kept(
    client: VaultClient, vault: FakeVault, tmp_path: Path
) -> None:
    (tmp_path / "b.tar").write_text("older")
    with pytest.raises(ConflictError, match="already"):
        await fetch_backup(client, FILES, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_text() == "older"
    assert vault.requests == []


async def test_what_an_interrupted_backup_left_is_replaced(
    client: VaultClient, vault: FakeVault, tmp_path: Path
) -> None:
    (tmp_path / "b.tar.new").write_text("half")
    vault.blurts("GET", "/vault/backup", Answer(200, archive(), "application/x-tar"))
    await fetch_backup(client, FILES, tmp_path / "b.tar")
    assert names(tmp_path) == ["b.tar"]


async def test_a_folder_that_is_missing_is_named(client: VaultClient, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file or directory") as caught:
        await fetch_backup(client, FILES, tmp_path / "none" / "b.tar")
    assert caught.value.code == "file-unusable"


def test_what_is_no_backup_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        read_backup(FILES, tmp_path / "b.tar")
    with pytest.raises(CommandError, match="Is a directory"):
        read_backup(FILES, tmp_path)


def test_programs_learn_what_a_backup_is_of() -> None:
    assert manifest_document(Path("/b.tar"), MANIFEST) == {
        "file": "/b.tar",
        "vault": {"id": "v-1", "name": "home"},
        "created_at": "2026-03-01T12:00:00+00:00",
        "head": {"number": 17, "digest": "64" * 32},
    }


@pytest.mark.parametrize(("code", "ends_with"), [(1, 1), (2, 2), (-15, 1)])
def test_the_coordinators_exit_code_is_passed_on(code: int, ends_with: int) -> None:
    programs = ScriptedProcesses()
    programs.answers["replikera-coordinator"] = Completed(code, b"", b"")
    with pytest.raises(typer.Exit) as caught:
        run_coordinator(programs, ("restore", "b.tar"), is_shown=True)
    assert caught.value.exit_code == ends_with


def test_unseen_the_coordinators_words_become_the_cause() -> None:
    programs = ScriptedProcesses()
    programs.answers["replikera-coordinator"] = Completed(1, b"", b"error: it is damaged.\n")
    with pytest.raises(CommandError, match="ended with exit code 1: error: it is damaged"):
        run_coordinator(programs, ("verify-backup", "b.tar"), is_shown=False)
    programs.answers.clear()
    run_coordinator(programs, ("verify-backup", "b.tar"), is_shown=False)
    assert programs.ran == ["replikera-coordinator verify-backup b.tar"] * 2


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_machine_without_the_coordinators_program_is_named(*, is_shown: bool) -> None:
    programs = ScriptedProcesses()
    programs.answers["replikera-coordinator"] = FileNotFoundError()
    with pytest.raises(NotFoundError, match="no program .*replikera-coordinator"):
        run_coordinator(programs, ("restore",), is_shown=is_shown)
