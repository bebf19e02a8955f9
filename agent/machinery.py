"""The machine under the agent: its ports, and a worker for each kind of blocking work."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.ports.processes import Processes
from replikera.ports.randomness import Randomness
from replikera.ports.workers import Worker
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.processes import SystemProcesses
from replikera.system.randomness import SystemRandomness
from replikera.system.workers import ThreadWorker

SOURCE_THREADS = 4
REPLICA_THREADS = 4
"""A volume takes a few requests at a time; more threads would only wait for it."""


@dataclass(frozen=True, slots=True)
class Machinery:
    """`state` is for small files, `source` reads views, `replicas` keeps points. None waits for another's work."""

    files: Files
    clock: Clock
    randomness: Randomness
    processes: Processes
    state: Worker
    source: Worker
    replicas: Worker
    hypervisor: Worker


@contextmanager
def real_machinery() -> Iterator[Machinery]:
    """Yield this machine; its threads end with the block."""
    with ExitStack() as stack:
        yield Machinery(
            files=SystemFiles(),
            clock=SystemClock(),
            randomness=SystemRandomness(),
            processes=SystemProcesses(),
            state=_worker(stack, "state", 2),
            source=_worker(stack, "source", SOURCE_THREADS),
            replicas=_worker(stack, "replicas", REPLICA_THREADS),
            hypervisor=_worker(stack, "hypervisor", 2),
        )


def _worker(stack: ExitStack, name: str, threads: int) -> ThreadWorker:
    worker = ThreadWorker(name, threads=threads)
    stack.callback(worker.close)
    return worker
