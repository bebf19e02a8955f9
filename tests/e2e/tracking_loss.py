"""A hypervisor that forgets what has changed since the mark, as one does that was killed at the wrong moment."""

from pathlib import Path

from replikera.lab.machine import Machine


def lose_tracking(machine: Machine, hypervisor: Path) -> int:
    """Remove every mark of every machine of a simulated host; return how many there were."""
    lost = 0
    for folder in sorted(hypervisor.glob("machines/*")):
        with machine.files.lock(folder / "lock"):
            for mark in folder.glob("marks/*.json"):
                mark.unlink()
                lost += 1
    return lost
