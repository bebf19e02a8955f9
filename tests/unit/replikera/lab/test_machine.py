"""The machine under the lab is this one."""

from pathlib import Path

from replikera.lab.machine import system_machine


async def test_its_ports_are_real(tmp_path: Path) -> None:
    with system_machine() as machine:
        await machine.worker.run(machine.files.make_directory, tmp_path / "made")
        assert (tmp_path / "made").is_dir()
        assert len(set(machine.free_ports(3, machine.randomness))) == 3
