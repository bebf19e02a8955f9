"""What the source's disks were at the points: found by the instant of their capture, and held while they are needed."""

from collections.abc import Mapping
from datetime import datetime

from replikera.lab.kept_views import KeptView, find_kept_view, hold
from replikera.lab.line import Line
from replikera.lab.machine import Machine
from replikera.lab.waiting import wait_for

_VIEW_S = 60.0


class SourceViews:
    """The kept views of one line's source."""

    def __init__(self, machine: Machine, line: Line) -> None:
        self._machine = machine
        self._line = line
        self._held: dict[datetime, KeptView] = {}

    async def hold(self, point: Mapping[str, object]) -> None:
        """Keep the view of a listed point from going. Raises `LabError`."""
        taken_at = capture_of(point)
        view = await self.of(taken_at)
        folder = self._line.folder.held_views / view.folder.name
        self._held[taken_at] = await self._machine.worker.run(
            hold, self._machine.files, view, folder
        )

    async def of(self, taken_at: datetime) -> KeptView:
        """Return the view of that instant once it has ended. Raises `LabError`."""
        hypervisor = self._line.folder.primary.hypervisor

        async def look() -> KeptView | None:
            return self._held.get(taken_at) or await self._machine.worker.run(
                find_kept_view, self._machine.files, hypervisor, taken_at
            )

        return await wait_for(
            self._machine.clock,
            look,
            what=f"the end of the source's view of {taken_at.isoformat()}",
            timeout=_VIEW_S,
        )


def capture_of(point: Mapping[str, object]) -> datetime:
    """Return when a listed point's view was taken."""
    return datetime.fromisoformat(str(point["capture_ended_at"]))
