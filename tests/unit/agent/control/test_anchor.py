from pathlib import Path

import pytest

from agent.control.anchor import AnchorError, ControlAnchor, VaultNotObeyedError
from tests.unit.agent.fakes import Fuse, FusedFiles, InlineWorker, Killed

OURS = b"o" * 32
OTHER = b"x" * 32


async def opened(path: Path, files: FusedFiles | None = None) -> ControlAnchor:
    anchor = ControlAnchor(files or FusedFiles(), InlineWorker(), path)
    await anchor.open()
    return anchor


async def test_new_host_has_obeyed_nothing(tmp_path: Path) -> None:
    anchor = await opened(tmp_path / "control.json")
    assert (anchor.number, anchor.digest) == (0, b"")


async def test_control_state_only_rises_and_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "control.json"
    anchor = await opened(path)
    await anchor.raise_to(4, OTHER)
    await anchor.raise_to(5, OURS)
    with pytest.raises(VaultNotObeyedError):
        await anchor.raise_to(4, OTHER)
    again = await opened(path)
    assert (again.number, again.digest) == (5, OURS)


async def test_control_state_that_is_ours_already_writes_nothing(tmp_path: Path) -> None:
    files = FusedFiles()
    anchor = await opened(tmp_path / "control.json", files)
    await anchor.raise_to(4, OURS)
    written = files.fuse.ticks
    await anchor.raise_to(4, OURS)
    assert files.fuse.ticks == written


async def test_vault_with_another_history_is_not_obeyed(tmp_path: Path) -> None:
    anchor = await opened(tmp_path / "control.json")
    await anchor.raise_to(4, OURS)
    for number, digest in ((3, OURS), (4, OTHER), (4, b""), (5, b"short")):
        with pytest.raises(VaultNotObeyedError):
            anchor.check(number, digest)
    anchor.check(5, OTHER)


async def test_file_of_an_earlier_version_has_a_number_only(tmp_path: Path) -> None:
    path = tmp_path / "control.json"
    path.write_text('{"control_version": 4}')
    anchor = await opened(path)
    assert (anchor.number, anchor.digest) == (4, b"")
    with pytest.raises(VaultNotObeyedError):
        anchor.check(3, OURS)
    await anchor.raise_to(4, OURS)
    assert (await opened(path)).digest == OURS


async def test_kill_at_any_write_leaves_the_old_state_or_the_new(tmp_path: Path) -> None:
    counting = FusedFiles()
    anchor = await opened(tmp_path / "counted.json", counting)
    await anchor.raise_to(1, OURS)
    before = counting.fuse.ticks
    await anchor.raise_to(2, OTHER)
    seen = set()
    for moment in range(1, counting.fuse.ticks - before + 1):
        path = tmp_path / f"{moment}.json"
        files = FusedFiles()
        anchor = await opened(path, files)
        await anchor.raise_to(1, OURS)
        files.fuse = Fuse(moment)
        with pytest.raises(Killed):
            await anchor.raise_to(2, OTHER)
        again = await opened(path)
        seen.add((again.number, again.digest))
        await again.raise_to(2, OTHER)
    assert seen == {(1, OURS), (2, OTHER)}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"control_version": "4"}',
        '{"control_version": -1}',
        '{"control_version": true}',
        '{"control_version": 4, "control_digest": 5}',
        '{"control_version": 4, "control_digest": "zz"}',
        '{"control_version": 4, "control_digest": "00"}',
    ],
)
async def test_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "control.json"
    path.write_text(content)
    with pytest.raises(AnchorError, match=r"control\.json does not hold"):
        await opened(path)
