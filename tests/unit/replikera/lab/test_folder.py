"""The lab takes only folders that are empty or its own."""

from pathlib import Path

import pytest

from replikera.lab.errors import LabError
from replikera.lab.folder import claim_folder, find_folder
from replikera.system.files import SystemFiles

FILES = SystemFiles()


def test_a_new_folder_is_made_and_found_again(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "lab"
    assert claim_folder(FILES, root) == find_folder(FILES, root)
    assert (root / "primary").is_dir()


def test_an_earlier_lab_is_removed(tmp_path: Path) -> None:
    folder = claim_folder(FILES, tmp_path)
    (folder.primary.root / "old").write_text("x")
    folder.report.write_text("old")
    claim_folder(FILES, tmp_path)
    assert not (folder.primary.root / "old").exists()
    assert not folder.report.exists()


def test_a_folder_with_anything_else_is_refused_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(LabError, match="no lab's folder"):
        claim_folder(FILES, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_that_is_no_lab_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="holds no lab"):
        find_folder(FILES, tmp_path)


def test_the_folders_of_the_sites_are_apart(tmp_path: Path) -> None:
    folder = claim_folder(FILES, tmp_path)
    primary, secondary = folder.primary, folder.secondary
    for path in (primary.settings, primary.state, primary.hypervisor, primary.join_line):
        assert path.is_relative_to(primary.root)
        assert not path.is_relative_to(secondary.root)
