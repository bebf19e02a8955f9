"""A digest is that of every byte that a guest would read, or there is none."""

from pathlib import Path

import pytest
from typing_extensions import override

from replikera.lab.witness import WitnessError, digest
from replikera.ports.files import File
from replikera.system.files import SystemFiles
from tests.unit.replikera.lab.witness.foreign import sample

FILES = SystemFiles()


class Shrinking(SystemFiles):
    """Files that lose their end after they were opened."""

    @override
    def open_read(self, path: Path) -> File:
        file = super().open_read(path)
        size = file.size()
        with path.open("r+b") as same:
            same.truncate(size - 1)
        return file


def test_a_file_that_is_gone_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest(FILES, tmp_path / "gone.vhdx")


def test_a_file_that_is_cut_off_has_no_digest(tmp_path: Path) -> None:
    path = sample().write(tmp_path / "a.vhdx")
    with pytest.raises(WitnessError, match="beyond the end"):
        digest(Shrinking(), path)
