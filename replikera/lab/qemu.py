"""A third opinion on two disks, where `qemu-img` is installed."""

from pathlib import Path

from replikera.lab.errors import LabError
from replikera.ports.processes import Processes

QEMU_IMG = "qemu-img"
_TIMEOUT_S = 1_800.0


async def are_equal(processes: Processes, first: Path, second: Path) -> bool | None:
    """Tell whether guests see the same in both VHDX files; None without `qemu-img`. Raises `LabError`."""
    arguments = (QEMU_IMG, "compare", "-q", "-f", "vhdx", "-F", "vhdx", str(first), str(second))
    try:
        completed = await processes.run(arguments, timeout=_TIMEOUT_S)
    except FileNotFoundError:
        return None
    if completed.exit_code not in {0, 1}:
        raise LabError(
            f"{QEMU_IMG} cannot compare {first} with {second}: "
            f"{completed.errors.decode(errors='replace').strip()}",
            "Look at both files with `qemu-img check`",
        )
    return completed.exit_code == 0
