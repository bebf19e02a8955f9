from pathlib import Path

import pytest

from agent.control.control_version import ControlVersion, ControlVersionError
from tests.unit.agent.fakes import FusedFiles, InlineWorker


async def opened(path: Path) -> ControlVersion:
    version = ControlVersion(FusedFiles(), InlineWorker(), path)
    await version.open()
    return version


async def test_new_host_has_obeyed_nothing(tmp_path: Path) -> None:
    assert (await opened(tmp_path / "control.json")).number == 0


async def test_version_only_rises_and_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "control.json"
    version = await opened(path)
    for number in (4, 2, 4):
        await version.raise_to(number)
    assert version.number == 4
    assert (await opened(path)).number == 4


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
    ],
)
async def test_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "control.json"
    path.write_text(content)
    with pytest.raises(ControlVersionError, match=r"control\.json does not hold"):
        await opened(path)
