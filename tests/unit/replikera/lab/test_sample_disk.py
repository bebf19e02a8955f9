"""The sample disk is a real disk, the same in every run."""

from pathlib import Path

from replikera.lab.sample_disk import SAMPLE_DATA_BYTES, SAMPLE_DISK_BYTES, make_sample_disk
from replikera.lab.witness import digest, open_disk
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness

FILES = SystemFiles()


def test_two_sample_disks_look_the_same_to_a_guest(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_sample_disk(FILES, tmp_path / name, SystemRandomness())
    assert digest(FILES, tmp_path / "a") == digest(FILES, tmp_path / "b")
    disk = open_disk(FILES, tmp_path / "a")
    try:
        runs = [run for run in disk.runs() if run.layer is not None]
        data = sum(run.length for run in runs)
        assert (disk.size, data) == (SAMPLE_DISK_BYTES, SAMPLE_DATA_BYTES)
        assert b"service=web level=info" in (tmp_path / "a").read_bytes()[runs[1].offset :][:200]
    finally:
        disk.close()
