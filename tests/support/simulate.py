"""`replikera-agent simulate`, as tests call it."""

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from agent.hypervisor.simulated.chain import Chain, read_chain
from agent.hypervisor.simulated.commands import app
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.machine_folder import MachineFolder, open_disk
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness


def simulate(*arguments: object) -> Result:
    """Run a command here."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def simulated(*arguments: object) -> str:
    """Run a command that must succeed; return what it says."""
    result = simulate(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: object) -> str:
    """Run a command that must be refused; return why."""
    result = simulate(*arguments)
    assert result.exit_code == 1, result.output
    assert result.output.startswith("Error: ")
    return result.output


def run_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command as an operator does: what it starts lives on when it has ended."""
    program = "from agent.hypervisor.simulated.commands import app; app()"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def host_in(root: Path) -> HostFolder:
    """Return the host of a folder."""
    return HostFolder(SystemFiles(), SystemRandomness(), root)


def machine_in(root: Path, name: str = "web") -> MachineFolder:
    """Return a machine of a host by its name."""
    return host_in(root).get_by_name(name)


def chain_on(machine: MachineFolder) -> Chain:
    """Return the records on the disks of a machine."""
    images = [open_disk(SystemFiles(), path) for path in machine.disk_paths(machine.read())]
    try:
        chain = read_chain(images)
    finally:
        for image in images:
            image.close()
    assert chain is not None
    return chain
