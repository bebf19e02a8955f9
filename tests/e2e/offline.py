"""What stands at the target after its agent has ended, compared with what the source's views were."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from agent.replica.points import SealedPoint
from agent.replica.replica import Replica
from agent.replica.store import ReplicaStore
from agent.source.state import SourceState
from agent.source.state_folder import StateFolder
from replikera.blocks.segment import DiskGeometry
from replikera.lab.evidence import DiskPair, Point, compare
from replikera.lab.folder import LabFolder
from replikera.lab.kept_views import KeptView, kept_views, read_view
from replikera.lab.machine import Machine
from tests.support.storage_folders import folders_in


@dataclass
class Verification:
    """What was compared, what the source had acknowledged, and what is wrong."""

    points: int = 0
    compared: int = 0
    acknowledged: int = 0
    problems: list[str] = field(default_factory=list)


def source_states(machine: Machine, folder: LabFolder) -> list[SourceState]:
    """Return what the source durably knows of its protections."""
    states = StateFolder(machine.files, folder.primary.state / "protections")
    found = [states.load(protection_id) for protection_id in states.protection_ids()]
    return [state for state in found if state is not None]


async def verify(machine: Machine, folder: LabFolder, scratch: Path) -> Verification:
    """Recover every point that the stopped target lists, and compare all of its disks."""
    store = ReplicaStore(
        machine.files,
        machine.worker,
        machine.clock,
        machine.randomness,
        folders_in(folder.secondary.state),
    )
    await store.open()
    machine.files.make_directory(scratch)
    verifier = Verifier(machine, views_of(machine, folder.primary.hypervisor), scratch)
    result = verifier.result
    for replica in store.all():
        points = replica.points()
        result.points += len(points)
        for point in points:
            await verifier.check(replica, point)
        result.problems += _check_sequence(points)
    _check_acknowledged(machine, folder, store, result)
    if result.compared == 0:
        result.problems.append("no disk was compared")
    return result


class Verifier:
    """Recovers points and compares their disks with the views of the same instants."""

    def __init__(self, machine: Machine, views: dict[datetime, KeptView], scratch: Path) -> None:
        self._machine = machine
        self._views = views
        self._scratch = scratch
        self.result = Verification()

    async def check(self, replica: Replica, point: SealedPoint) -> None:
        """Compare one point; a disk that is wrong stays where it was recovered."""
        view = self._views.get(point.capture_ended_at)
        if view is None:
            self.result.problems.append(
                f"point {point.sequence}: no view of {point.capture_ended_at}"
            )
            return

        def path(disk: DiskGeometry) -> Path:
            return self._scratch / f"{point.sequence}-{disk.disk_id}.vhdx"

        for disk, recovered in await replica.materialise(point.sequence, path):
            pair = DiskPair(
                replica.accepted.machine_name, disk.disk_id, view.disk(disk.disk_id), recovered
            )
            evidence = await compare(self._machine, pair, Point(point.generation, point.sequence))
            self.result.compared += 1
            if evidence.is_equal:
                self._machine.files.remove(recovered)
            else:
                self.result.problems.append(
                    f"point {point.sequence}, disk {disk.disk_id}: {recovered} differs from "
                    f"{pair.source} {evidence.problem}"
                )


def views_of(machine: Machine, hypervisor: Path) -> dict[datetime, KeptView]:
    """Return everything that a source's machines were at their captures, by the instant."""
    # A view that had not ended when the agent did is still with its machine.
    alive = [
        read_view(machine.files, path.parent)
        for path in hypervisor.glob("machines/*/views/*/view.json")
    ]
    everything = [*kept_views(machine.files, hypervisor), *alive]
    return {view.taken_at: view for view in everything if view is not None}


def _check_sequence(points: Sequence[SealedPoint]) -> list[str]:
    sequences = [point.sequence for point in points]
    if sequences == list(range(1, len(points) + 1)):
        return []
    return [f"retention is a day, yet the points are {sequences}"]


def _check_acknowledged(
    machine: Machine, folder: LabFolder, store: ReplicaStore, result: Verification
) -> None:
    for state in source_states(machine, folder):
        digests = {
            point.sequence: point.chain_digest
            for point in store.get(state.assignment.protection_id).points()
        }
        result.acknowledged = state.head.sequence
        if state.head.sequence and digests.get(state.head.sequence) != state.head.digest:
            result.problems.append(
                f"the source holds point {state.head.sequence} for acknowledged, the target has"
                f" points {min(digests, default=0)} to {max(digests, default=0)} or another digest"
            )
        if state.resync is not None:
            result.problems.append(f"resync required: {state.resync}")
