"""The machine under the lab: its ports in one hand."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.ports.processes import Processes
from replikera.ports.randomness import Randomness
from replikera.ports.terminal import Terminal
from replikera.ports.workers import Worker
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.loopback import free_ports
from replikera.system.processes import SystemProcesses
from replikera.system.randomness import SystemRandomness
from replikera.system.terminal import SystemTerminal
from replikera.system.workers import ThreadWorker

_THREADS = 2
"""One for each disk of a comparison."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Files, time, chance, processes, threads and loopback ports."""

    files: Files
    clock: Clock
    randomness: Randomness
    processes: Processes
    terminal: Terminal
    worker: Worker
    free_ports: Callable[[int, Randomness], tuple[int, ...]]


@contextmanager
def system_machine() -> Iterator[Machine]:
    """Yield this machine; its threads end with the block."""
    worker = ThreadWorker("lab", threads=_THREADS)
    try:
        yield Machine(
            files=SystemFiles(),
            clock=SystemClock(),
            randomness=SystemRandomness(),
            processes=SystemProcesses(),
            terminal=SystemTerminal(),
            worker=worker,
            free_ports=free_ports,
        )
    finally:
        worker.close()
