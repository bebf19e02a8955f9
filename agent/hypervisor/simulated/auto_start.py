"""Who keeps a machine from starting with its host: the owner's decision stays, every tag has a block of its own."""

from dataclasses import replace

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.machine_saving import save_machine
from agent.hypervisor.simulated.state import MachineFile

MAX_BLOCKS = 64
"""A machine is in one protection, and seldom in a test failover beside it."""


class AutoStart:
    """The blocks of the machines of one host. All calls block.

    The machine's lock makes sure that a host that starts sees a block or has started the machine before it; the
    host's lock, that nobody else describes or removes the machine meanwhile.
    """

    def __init__(self, host: HostFolder, effects: Effects) -> None:
        self._host = host
        self._effects = effects

    def block(self, machine_id: str, tag: str) -> None:
        """Block the machine's auto-start for the tag. A block that is there is no error."""
        state.check_file_name("tag of a block", tag)
        with self._host.lock():
            self._effects.settle(self._host.root)
            folder = self._host.get(machine_id)
            with folder.lock():
                machine = folder.read()
                if tag not in machine.auto_start_blocks:
                    _check_room(machine)
                    blocks = (*machine.auto_start_blocks, tag)
                    self._save("auto-start-blocked", folder, machine, blocks, tag)

    def allow(self, machine_id: str, tag: str) -> None:
        """Take the tag's block away. A missing one is no error."""
        with self._host.lock():
            self._effects.settle(self._host.root)
            folder = self._host.get(machine_id)
            with folder.lock():
                machine = folder.read()
                if tag in machine.auto_start_blocks:
                    blocks = tuple(block for block in machine.auto_start_blocks if block != tag)
                    self._save("auto-start-allowed", folder, machine, blocks, tag)

    def _save(
        self,
        effect: str,
        folder: MachineFolder,
        machine: MachineFile,
        blocks: tuple[str, ...],
        tag: str,
    ) -> None:
        changed = replace(machine, auto_start_blocks=blocks)
        save_machine(folder, changed, self._effects, effect, tag)


def _check_room(machine: MachineFile) -> None:
    if len(machine.auto_start_blocks) >= MAX_BLOCKS:
        raise HypervisorError(
            "too-many-blocks",
            f"The auto-start of {machine.description.name} is blocked by "
            f"{len(machine.auto_start_blocks)} tags already.",
            "Release the blocks of protections that are gone.",
        )
