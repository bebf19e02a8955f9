"""Which start of the simulated host this is: boot.json of its folder, a new id after every crash of the host.

A host that was shut down in order needs none: whoever wrote to disks has said by then that it had finished.
"""

from pathlib import Path

from pydantic.dataclasses import dataclass

from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.state import StateFile
from replikera.ports.files import Files

BOOT_FILE = "boot.json"


@dataclass(frozen=True, slots=True, config=state.STRICT)
class BootFile:
    """boot.json; hosts that never crashed have none."""

    boot_id: str


BOOT = StateFile(BootFile)


def boot_id(files: Files, root: Path) -> str:
    """Return the id of the host's present start, "" before its first crash."""
    found = BOOT.load(files, root / BOOT_FILE)
    return "" if found is None else found.boot_id
