from pathlib import Path

import pytest

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.machine_folder import open_disk
from agent.hypervisor.simulated.view_disk import SimulatedViewDisk
from replikera.blocks.extents import Extents
from replikera.system.files import SystemFiles
from tests.support.simulated_host import MIB, make_disk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_disk(tmp_path / "a.vhdx", {2 * MIB: b"data" * 128})


def test_a_view_disk_reads_what_the_guest_saw(path: Path) -> None:
    disk = SimulatedViewDisk(path, open_disk(SystemFiles(), path))
    assert disk.size == 8 * MIB
    assert disk.data_extents() == Extents.of([(2 * MIB, 4096)])
    assert disk.read(1024, 2 * MIB) == b"data" * 128 + bytes(512)
    disk.close()
    disk.close()


def test_a_read_that_fails_names_the_file(path: Path) -> None:
    disk = SimulatedViewDisk(path, open_disk(SystemFiles(), path))
    with pytest.raises(HypervisorError, match="a.vhdx") as caught:
        disk.read(1, 8 * MIB)
    assert caught.value.code == "bad-disk"
    with path.open("r+b") as file:
        file.truncate(MIB)
    with pytest.raises(HypervisorError, match="a.vhdx"):
        disk.read(512, 2 * MIB)
    disk.close()
