from pathlib import Path

import pytest

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.boot import BOOT, BOOT_FILE, BootFile, boot_id
from replikera.system.files import SystemFiles


def test_a_host_that_never_crashed_is_its_first_start(tmp_path: Path) -> None:
    assert boot_id(SystemFiles(), tmp_path) == ""


def test_the_start_is_the_one_that_was_recorded(tmp_path: Path) -> None:
    BOOT.save(SystemFiles(), tmp_path / BOOT_FILE, BootFile("second"))
    assert boot_id(SystemFiles(), tmp_path) == "second"


def test_a_record_that_is_damaged_is_not_guessed_at(tmp_path: Path) -> None:
    (tmp_path / BOOT_FILE).write_text("{}")
    with pytest.raises(HypervisorError, match=BOOT_FILE):
        boot_id(SystemFiles(), tmp_path)
