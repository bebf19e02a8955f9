import errno
from datetime import timedelta
from pathlib import Path

import pytest

from agent.control.deny_lists import DenyListFileError, DenyLists
from replikera.denials import Denials
from replikera.identity import Role
from tests.support.authority import VAULT_ID
from tests.support.grants import GrantOffice, terms
from tests.unit.agent.fakes import AutoClock, Fuse, FusedFiles, InlineWorker, Killed

OFFICE = GrantOffice(terms("p", "g", "s", "t"))


class Host:
    """One host's deny-list over a folder; a new one is a restarted agent."""

    def __init__(self, folder: Path, files: FusedFiles | None = None) -> None:
        self.files = files or FusedFiles()
        self.clock = AutoClock()
        self.denials = Denials()
        self.path = folder / "deny-list"
        self.lists = DenyLists(
            self.files,
            InlineWorker(),
            self.clock,
            self.path,
            self.denials,
            vault_id=VAULT_ID,
            root_certificate=OFFICE.authority.root_pem,
        )

    def denies(self, host_id: str) -> bool:
        return self.denials.identity_refusal(Role.HOST, host_id, VAULT_ID) is not None


async def test_list_is_obeyed_and_survives_a_restart(tmp_path: Path) -> None:
    host, signed = Host(tmp_path), OFFICE.deny_list(3, "x")
    await host.lists.open()
    assert host.lists.version == 0
    assert await host.lists.store(signed) == 3
    assert host.denies("x")
    again = Host(tmp_path)
    await again.lists.open()
    assert again.denies("x")
    assert (again.lists.version, again.lists.signed) == (3, signed)


async def test_list_is_durable_before_it_is_obeyed(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.files.error = OSError(errno.ENOSPC, "no space left")
    with pytest.raises(OSError, match="no space"):
        await host.lists.store(OFFICE.deny_list(3, "x"))
    assert host.lists.version == 0
    assert not host.denies("x")
    host.files.error = None
    assert await host.lists.store(OFFICE.deny_list(3, "x")) == 3


async def test_older_list_is_refused_and_the_same_answered_again(tmp_path: Path) -> None:
    host = Host(tmp_path)
    await host.lists.store(OFFICE.deny_list(3, "x"))
    written = host.files.fuse.ticks
    assert await host.lists.store(OFFICE.deny_list(2)) is None
    assert await host.lists.store(OFFICE.deny_list(3, "x")) == 3
    assert host.files.fuse.ticks == written
    assert host.denies("x")
    assert await host.lists.store(OFFICE.deny_list(4)) == 4
    assert not host.denies("x")


async def test_list_that_the_vault_did_not_sign_is_refused(tmp_path: Path) -> None:
    host = Host(tmp_path)
    stranger = GrantOffice(OFFICE.terms)
    for signed in (stranger.deny_list(9, "x"), OFFICE.grant(), b"", b"noise"):
        assert await host.lists.store(signed) is None
    assert not host.path.exists()
    assert host.lists.version == 0


async def test_kill_at_any_write_leaves_the_old_list_or_the_new(tmp_path: Path) -> None:
    old, new = OFFICE.deny_list(1, "x"), OFFICE.deny_list(2, "y")
    counting = Host(tmp_path / "counted", FusedFiles())
    (tmp_path / "counted").mkdir()
    await counting.lists.store(old)
    seen = set()
    for moment in range(1, counting.files.fuse.ticks + 1):
        folder = tmp_path / str(moment)
        folder.mkdir()
        await Host(folder).lists.store(old)
        host = Host(folder, FusedFiles(Fuse(moment)))
        await host.lists.open()
        with pytest.raises(Killed):
            await host.lists.store(new)
        assert host.denies("x")
        again = Host(folder)
        await again.lists.open()
        seen.add(again.lists.version)
        assert await again.lists.store(new) == 2
    assert seen == {1, 2}


async def test_list_that_was_kept_holds_when_its_signer_has_expired(tmp_path: Path) -> None:
    signed = OFFICE.deny_list(3, "x")
    await Host(tmp_path).lists.store(signed)
    late = Host(tmp_path)
    late.clock.elapsed = timedelta(days=365 * 60).total_seconds()
    await late.lists.open()
    assert late.denies("x")
    assert await late.lists.store(signed) is None


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"noise",
        OFFICE.grant(),
        bytes([*OFFICE.deny_list(3, "x")[:40], 0, *OFFICE.deny_list(3, "x")[41:]]),
        b"x" * (2 << 20),
    ],
)
async def test_damaged_file_is_named_with_its_remedy(tmp_path: Path, damaged: bytes) -> None:
    host = Host(tmp_path)
    host.path.write_bytes(damaged)
    with pytest.raises(DenyListFileError, match="deny-list cannot be used.*Remove the file"):
        await host.lists.open()
