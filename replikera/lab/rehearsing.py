"""A test failover by the operations of a user, and what the lab looks at while it stands and after it is gone."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from replikera.lab.command_line import LONG_COMMAND_TIMEOUT_S
from replikera.lab.errors import LabError
from replikera.lab.evidence import DiskEvidence, DiskPair, Point, compare
from replikera.lab.line import MACHINE_NAME, Line
from replikera.lab.machine import Machine
from replikera.lab.narrator import Narrator
from replikera.lab.report import Findings
from replikera.lab.source_views import SourceViews, capture_of
from replikera.lab.target_inventory import differences, target_inventory
from replikera.lab.waiting import wait_for

_CLEAN_S = 30.0


class Rehearsing:
    """Test failovers of the lab's machine."""

    def __init__(
        self, machine: Machine, line: Line, views: SourceViews, narrator: Narrator
    ) -> None:
        self._machine = machine
        self._line = line
        self._views = views
        self._narrator = narrator

    async def rehearse(self, point: str, findings: Findings, name: str = MACHINE_NAME) -> None:
        """Recover a point, compare every disk, clean up, and see that the target has what it had before."""
        before = await target_inventory(self._machine, self._line)
        test = ("replikera", "test-failover")
        start = (*test, "start", name, "--point", point)
        await self._line.commands.run(*start, "--dry-run")
        await self._line.commands.run(
            *(*start, "--wait"),
            timeout=LONG_COMMAND_TIMEOUT_S,
        )
        await self._line.commands.run(*test, "show", name)
        findings.disks += await self._compare(name, await self._shown(name))
        await self._line.commands.run(
            *(*test, "cleanup", name, "--notes", "compared by the lab", "--wait")
        )
        findings.test_failovers.append(await self._shown(name))
        findings.leftovers += await self._leftovers(before)

    async def _shown(self, name: str) -> Mapping[str, object]:
        return await self._line.commands.ask("replikera", "test-failover", "show", name)

    async def _compare(self, name: str, test: Mapping[str, object]) -> list[DiskEvidence]:
        point = point_of(test)
        view = await self._views.of(await self._capture_of(name, point))
        found = []
        for disk_id, path in recovered_disks(test):
            pair = DiskPair(name, disk_id, view.disk(disk_id), path)
            with self._narrator.work(f"reading disk {disk_id} of both sites"):
                found.append(await compare(self._machine, pair, point))
            self._tell(found[-1])
        if not found:
            raise LabError("the test failover shows no disk", "Look into the secondary agent's log")
        return found

    def _tell(self, evidence: DiskEvidence) -> None:
        self._narrator.note(f"  source     {evidence.source_sha256}")
        self._narrator.note(f"  recovered  {evidence.recovered_sha256}")
        readers = " and ".join(evidence.readers)
        text = evidence.problem or (f"equal, say {readers}" if evidence.is_equal else "DIFFERENT")
        self._narrator.verdict(f"  {text}", is_good=evidence.is_equal)

    async def _capture_of(self, name: str, point: Point) -> datetime:
        for listed in await self._line.points(name):
            if (listed.get("generation"), listed.get("sequence")) == (
                point.generation,
                point.sequence,
            ):
                return capture_of(listed)
        raise LabError(
            f"point {point.sequence} was recovered and is not listed", "Run the lab again"
        )

    async def _leftovers(self, before: frozenset[str]) -> list[str]:
        async def look() -> bool | None:
            after = await target_inventory(self._machine, self._line)
            return None if differences(before, after) else True

        with self._narrator.work("looking for what the test failover left"):
            try:
                await wait_for(
                    self._machine.clock, look, what="a clean inventory", timeout=_CLEAN_S
                )
            except LabError:
                return differences(before, await target_inventory(self._machine, self._line))
        self._narrator.verdict("  the inventory is the one of before", is_good=True)
        return []


def point_of(test: Mapping[str, object]) -> Point:
    """Return the point that a test failover recovered. Raises `LabError`."""
    match test.get("point"):
        case {"generation": str(generation), "sequence": int(sequence)}:
            return Point(generation, sequence)
        case other:
            raise _unknown(other)


def recovered_disks(test: Mapping[str, object]) -> list[tuple[str, Path]]:
    """Return ids and files of a test failover's disks. Raises `LabError`."""
    disks = test.get("disks")
    found = []
    for disk in disks if isinstance(disks, list) else [disks]:
        match disk:
            case {"disk_id": str(disk_id), "path": str(path)}:
                found.append((disk_id, Path(path)))
            case other:
                raise _unknown(other)
    return found


def _unknown(value: object) -> LabError:
    return LabError(f"the vault answered {value!r}", "Install all programs anew")
