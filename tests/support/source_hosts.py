"""The source's side of a host, for tests that care about a part of it."""

from collections.abc import Callable
from datetime import UTC
from pathlib import Path

from agent.budget import ByteBudget
from agent.hypervisor.interface import Hypervisor
from agent.source.grants import GrantFolder
from agent.source.host import READ_AHEAD_BYTES, SourceHost, ViewLimits
from agent.source.state_folder import StateFolder
from agent.source.status import ReplicationStatus
from replikera.denials import Denials
from replikera.identity import CredentialsHolder
from replikera.ports.clock import Clock
from replikera.ports.streams import Dialler
from replikera.ports.workers import Worker
from replikera.system.files import SystemFiles
from tests.support.grants import NOBODY, GrantOffice, terms
from tests.support.seeded_randomness import SeededRandomness
from tests.support.virtual_clock import InlineWorker

SOURCE = "source-host"
_OFFICE = GrantOffice(terms("p", "g", SOURCE, "target-host"))


def source_host(
    folder: Path,
    hypervisor: Hypervisor,
    dialler: Dialler,
    clock: Clock,
    observer: Callable[[ReplicationStatus], None],
    *,
    office: GrantOffice = _OFFICE,
    view_limits: ViewLimits | None = None,
    worker: Worker | None = None,
) -> SourceHost:
    """Return a host whose state files are in `folder`; grants of `office` are good."""
    files = SystemFiles()
    return SourceHost(
        hypervisor=hypervisor,
        dialler=dialler,
        worker=worker or InlineWorker(),
        clock=clock,
        randomness=SeededRandomness(1),
        budget=ByteBudget(READ_AHEAD_BYTES),
        folder=StateFolder(files, folder),
        grants=GrantFolder(files, folder),
        reader=office.reader(SOURCE, clock),
        holder=CredentialsHolder(NOBODY),
        denials=Denials(),
        observer=observer,
        view_limits=view_limits or ViewLimits(),
        zone=UTC,
    )
