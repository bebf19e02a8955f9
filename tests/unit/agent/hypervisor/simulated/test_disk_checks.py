from dataclasses import replace
from pathlib import Path

import pytest

from agent.hypervisor.interface import DiskCheck
from agent.hypervisor.simulated import disk_checks
from agent.hypervisor.simulated.disk_checks import check_disk
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.vhdx import create_child, open_image
from replikera.vhdx.checking import Problem, check
from tests.support.simulated_host import MIB, make_disk

FILES = SystemFiles()


def child_of(parent: Path) -> Path:
    path = parent.with_name("child.vhdx")
    with open_image(FILES.open_read(parent)) as above:
        create_child(
            FILES.create(path), above, parent_path=parent, randomness=SystemRandomness()
        ).close()
    return path


def test_a_sound_disk_is_sound_and_stays_as_it_was(tmp_path: Path) -> None:
    path = make_disk(tmp_path / "a.vhdx", {MIB: b"x" * 4096})
    before = path.read_bytes()
    assert check_disk(FILES, path) == DiskCheck(8 * MIB, "")
    assert path.read_bytes() == before


def test_a_child_is_checked_with_its_parent(tmp_path: Path) -> None:
    parent = make_disk(tmp_path / "parent.vhdx")
    child = child_of(parent)
    assert check_disk(FILES, child) == DiskCheck(8 * MIB, "")
    with open_image(
        FILES.open_write(parent), writable=True, randomness=SystemRandomness()
    ) as image:
        image.write(b"x" * 512, 0)
    assert "parent.vhdx" in check_disk(FILES, child).problem
    parent.unlink()
    found = check_disk(FILES, child)
    assert found.size == 8 * MIB
    assert "parent" in found.problem


def test_what_is_wrong_is_named_with_a_remedy(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.vhdx"
    foreign.write_bytes(b"QFI\xfb" * 1000)
    found = check_disk(FILES, foreign)
    assert found.size == 0
    assert "foreign.vhdx: " in found.problem
    missing = check_disk(FILES, tmp_path / "missing.vhdx")
    assert missing.size == 0
    assert "missing.vhdx cannot be used" in missing.problem
    assert "Check that" in missing.problem


def test_a_damaged_table_shows(tmp_path: Path) -> None:
    path = make_disk(tmp_path / "a.vhdx", {MIB: b"x" * 4096})
    data = bytearray(path.read_bytes())
    data[3 * MIB : 4 * MIB] = b"\xff" * MIB
    path.write_bytes(data)
    assert "a.vhdx: " in check_disk(FILES, path).problem


def test_many_problems_are_summed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_disk(tmp_path / "a.vhdx")
    problems = tuple(Problem(path, f"block {number} is bad", "Mend it.") for number in range(9))
    replayed = Problem(path, "its log is not empty", "Replay it.", is_mended_by_replay=True)
    report = replace(check(FILES, path), problems=(replayed, *problems))
    monkeypatch.setattr(disk_checks, "check", lambda *_: report)
    found = check_disk(FILES, path)
    assert "block 4 is bad" in found.problem
    assert "block 5 is bad" not in found.problem
    assert found.problem.endswith("4 problems more.")
    assert "log" not in found.problem
