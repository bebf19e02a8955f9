"""What the secondary site has that a test failover could leave behind, or take away."""

from replikera.lab.line import Line, items
from replikera.lab.machine import Machine
from replikera.lab.settings_files import host_name


async def target_inventory(machine: Machine, line: Line) -> frozenset[str]:
    """Return machines and networks as the vault lists them, and what is in the host's own folders, by name."""
    secondary = line.folder.secondary
    host = host_name(secondary)
    machines = items(await line.commands.ask("replikera", "vm", "list"))
    networks = items(await line.commands.ask("replikera", "network", "list"))
    found = {
        *(f"machine {item.get('name')} of {host}" for item in machines if item.get("host") == host),
        *(f"network {item.get('name')} of {host}" for item in networks if item.get("host") == host),
    }
    for folder in (
        secondary.hypervisor / "machines",
        secondary.hypervisor / "storage" / "rehearsals",
    ):
        names = await machine.worker.run(machine.files.list_directory, folder)
        found |= {str(folder / name) for name in names}
    return frozenset(found)


def differences(before: frozenset[str], after: frozenset[str]) -> list[str]:
    """Return what is there that was not, and what was there and is not, in words."""
    left = [f"left: {name}" for name in sorted(after - before)]
    return left + [f"gone: {name}" for name in sorted(before - after)]
