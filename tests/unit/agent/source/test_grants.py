import asyncio
from pathlib import Path

import pytest

from agent.source.grants import GrantFolder, HeldGrant, version_of
from tests.support.grants import GrantOffice, terms
from tests.unit.agent.fakes import Fuse, FusedFiles, Killed, settle

PROTECTION = "11111111-1111-4111-8111-111111111111"
OFFICE = GrantOffice(terms(PROTECTION, "g", "s", "t"))


def test_saved_grant_is_loaded_as_it_was_signed(tmp_path: Path) -> None:
    folder = GrantFolder(FusedFiles(), tmp_path)
    assert folder.load(PROTECTION) == b""
    signed = OFFICE.grant(version=3)
    folder.save(PROTECTION, signed)
    assert GrantFolder(FusedFiles(), tmp_path).load(PROTECTION) == signed
    assert version_of(signed) == 3


@pytest.mark.parametrize("content", [b"", b"\xff\xff", b"x" * 100_000])
def test_damaged_grant_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{PROTECTION}.grant").write_bytes(content)
    held = HeldGrant(GrantFolder(FusedFiles(), tmp_path).load(PROTECTION))
    assert (held.signed, held.version) == (b"", 0)


def test_kill_at_any_write_leaves_the_old_grant_or_the_new(tmp_path: Path) -> None:
    old, new = OFFICE.grant(version=1), OFFICE.grant(version=2)
    counting = FusedFiles()
    GrantFolder(counting, tmp_path).save(PROTECTION, new)
    seen = set()
    for moment in range(1, counting.fuse.ticks + 1):
        path = tmp_path / str(moment)
        path.mkdir()
        GrantFolder(FusedFiles(), path).save(PROTECTION, old)
        with pytest.raises(Killed):
            GrantFolder(FusedFiles(Fuse(moment)), path).save(PROTECTION, new)
        seen.add(version_of(GrantFolder(FusedFiles(), path).load(PROTECTION)))
    assert seen == {1, 2}


async def test_newer_grant_is_waited_for() -> None:
    held = HeldGrant()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(held.newer_than(1))
        held.replace(OFFICE.grant(version=1))
        await settle()
        assert not waiting.done()
        held.replace(OFFICE.grant(version=2))
        await settle()
        assert waiting.done()
    await held.newer_than(1)


def test_removed_grant_is_gone_and_may_be_removed_again(tmp_path: Path) -> None:
    folder = GrantFolder(FusedFiles(), tmp_path)
    folder.save(PROTECTION, OFFICE.grant())
    folder.remove(PROTECTION)
    folder.remove(PROTECTION)
    assert folder.load(PROTECTION) == b""
    assert list(tmp_path.iterdir()) == []
