"""Points digested by the target at the vault's order, beside the source's kept views of the same instants."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from replikera.lab.digesting import digested_disks
from replikera.lab.line import Line
from replikera.lab.machine import Machine
from replikera.lab.source_views import SourceViews, capture_of
from replikera.lab.witness import digest
from tests.e2e.offline import views_of
from tests.e2e.vault_operator import VaultOperator


class OnlineComparison:
    """Compares points of a running line."""

    def __init__(self, machine: Machine, operator: VaultOperator, line: Line) -> None:
        self._machine = machine
        self._operator = operator
        self._views = SourceViews(machine, line)
        self.compared = 0
        self.problems: list[str] = []

    async def compare_all(self) -> None:
        """Compare every point that there is now."""
        for point in await self._operator.points():
            await self._compare(point)

    async def compare(self, chance: random.Random, count: int) -> None:
        """Compare at most that many points, always the newest and the oldest among them."""
        points = await self._operator.points()
        chosen = points[:1] + points[-1:] + chance.sample(points, min(len(points), count - 2))
        for point in {point["sequence"]: point for point in chosen}.values():
            await self._compare(point)

    async def _compare(self, point: Mapping[str, Any]) -> None:
        job_id = await self._operator.order(f"points/{point['sequence']}/digest")
        job = await self._operator.end_of(job_id)
        view = await self._views.of(capture_of(point))
        for disk_id, at_target in digested_disks(job):
            at_source = await self._machine.worker.run(
                digest, self._machine.files, view.disk(disk_id)
            )
            self.compared += 1
            if at_source != at_target:
                self.problems.append(
                    f"point {point['sequence']}, disk {disk_id}: the target digests {at_target}, "
                    f"{view.disk(disk_id)} is {at_source}"
                )


def check_kept_disks(machine: Machine, folder: Path, hypervisor: Path) -> list[str]:
    """Return what is wrong with the disks that a removed replica left: each is one of the newest views."""
    kept = sorted(folder.rglob("*.vhdx"))
    if not kept:
        return [f"no disk was kept in {folder}"]
    views = views_of(machine, hypervisor)
    newest = [views[taken_at].folder for taken_at in sorted(views)[-6:]]
    known = {digest(machine.files, path) for view in newest for path in view.glob("*.vhdx")}
    return [
        f"{disk} is none of the newest views of its source"
        for disk in kept
        if digest(machine.files, disk) not in known
    ]
