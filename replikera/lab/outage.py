"""The coordinator is killed and stays away: replication must not notice."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from replikera.lab.evidence import Outage
from replikera.lab.line import COORDINATOR, Line, items
from replikera.lab.machine import Machine
from replikera.lab.narrator import Narrator
from replikera.lab.source_views import capture_of
from replikera.lab.waiting import wait_for

OUTAGE_S = 10.0
_RETURN_S = 60.0


class Outages:
    """Makes the coordinator go away and come back."""

    def __init__(self, machine: Machine, line: Line, narrator: Narrator) -> None:
        self._machine = machine
        self._line = line
        self._narrator = narrator

    async def endure(self) -> tuple[Outage, Sequence[Mapping[str, object]]]:
        """Return what came of an outage, and the points of that time as the target lists them. Raises `LabError`."""
        daemons, clock = self._line.daemons, self._machine.clock
        with self._narrator.command(("kill", "-KILL", str(daemons.process_id(COORDINATOR)))):
            await daemons.kill(COORDINATOR)
        killed_at = clock.now()
        with self._narrator.work(f"no coordinator for {OUTAGE_S:g} s; the machine goes on writing"):
            await clock.sleep(OUTAGE_S)
        restarted_at = clock.now()
        await self._line.restart(COORDINATOR)
        listed = await self._points_until_after(restarted_at)
        await self._until_observed()
        during = [point for point in listed if killed_at < capture_of(point) < restarted_at]
        outage = Outage(killed_at, restarted_at, tuple(_sequence(point) for point in during))
        self._tell(outage)
        return outage, during

    async def _points_until_after(self, instant: datetime) -> Sequence[Mapping[str, object]]:
        """Return the points once there is one that was captured after an instant: then all before it are listed."""

        async def look() -> Sequence[Mapping[str, object]] | None:
            points = await self._line.points()
            return points if any(capture_of(point) > instant for point in points) else None

        with self._narrator.work("waiting for the target's list"):
            return await wait_for(
                self._machine.clock, look, what="a point after the outage", timeout=_RETURN_S
            )

    async def _until_observed(self) -> None:
        """Return once sources have told the vault how they fare: what it says before is that it does not know."""

        async def look() -> bool | None:
            answer = await self._line.commands.ask("replikera", "protection", "list")
            return True if all(map(_is_observed, items(answer))) else None

        with self._narrator.work("waiting for what the sources tell"):
            await wait_for(
                self._machine.clock, look, what="a healthy protection", timeout=_RETURN_S
            )

    def _tell(self, outage: Outage) -> None:
        text = f"{len(outage.points)} recovery points were captured while there was no coordinator"
        self._narrator.verdict(f"  {text}", is_good=outage.is_unnoticed)


def _is_observed(protection: Mapping[str, object]) -> bool:
    return protection["health"] == "healthy" and protection["compared_at"] is not None


def _sequence(point: Mapping[str, object]) -> int:
    return int(str(point["sequence"]))
