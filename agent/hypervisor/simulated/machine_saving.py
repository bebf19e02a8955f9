"""machine.json, replaced as one announced change."""

from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.effects import Effects, Evidence
from agent.hypervisor.simulated.machine_folder import MACHINE_FILE, MachineFolder
from agent.hypervisor.simulated.state import MachineFile


def save_machine(
    folder: MachineFolder, changed: MachineFile, effects: Effects, effect: str, tag: str
) -> None:
    """Make a machine what `changed` says, for `tag`. Called under the locks of its host and its own."""
    path, machine_id = folder.path / MACHINE_FILE, changed.description.machine_id
    evidence = Evidence(path, state.MACHINE.encode(changed))
    with effects.making(folder.host_path, effect, machine_id, tag, evidence):
        state.MACHINE.save(folder.files, path, changed)
