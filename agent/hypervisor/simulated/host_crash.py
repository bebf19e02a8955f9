"""The crash of a whole simulated host: every running machine loses its power, and the host is another start then.

What becomes of tracking is the host's luck. By default it was not durable, and is lost for the machines that ran; or a
coarse map of it was, and whole large granules count as written.
"""

from pathlib import Path

from agent.hypervisor.simulated.boot import BOOT, BOOT_FILE, BootFile
from agent.hypervisor.simulated.effects import Effects, Evidence
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.power import Power
from agent.hypervisor.simulated.state import MachineFile
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness
from replikera.ports.workers import Worker

COARSE_GRANULE = 1 << 20


class HostCrash:
    """Crashes one host."""

    def __init__(
        self,
        files: Files,
        randomness: Randomness,
        worker: Worker,
        host: HostFolder,
        *,
        power: Power,
        effects: Effects,
    ) -> None:
        self._files = files
        self._randomness = randomness
        self._worker = worker
        self._host = host
        self._power = power
        self._effects = effects

    async def crash(self, *, keeps_coarse_tracking: bool = False) -> list[str]:
        """Crash the host; return the names of the machines that ran. Raises `HypervisorError`."""
        ran = [
            (folder, machine)
            for folder, machine in await self._worker.run(self._host.machines)
            if await self._worker.run(folder.is_running)
        ]
        for folder, _ in ran:
            await self._power.cut(folder)
        await self._worker.run(self._come_up, ran if keeps_coarse_tracking else [])
        return [machine.description.name for _, machine in ran]

    def _come_up(self, tracked: list[tuple[MachineFolder, MachineFile]]) -> None:
        with self._host.lock():
            self._effects.settle(self._host.root)
            boot = BootFile(self._randomness.uuid())
            for folder, machine in tracked:
                _carry_over(folder, machine, boot.boot_id)
            path: Path = self._host.root / BOOT_FILE
            evidence = Evidence(path, BOOT.encode(boot))
            with self._effects.making(self._host.root, "host-crashed", boot.boot_id, "", evidence):
                BOOT.save(self._files, path, boot)


def _carry_over(folder: MachineFolder, machine: MachineFile, boot_id: str) -> None:
    with folder.lock():
        folder.tracking.coarsen(COARSE_GRANULE, [disk.size for disk in machine.description.disks])
        folder.session.carry_over(boot_id)
