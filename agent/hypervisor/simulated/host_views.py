"""The views and marks of all machines of a host."""

from agent.hypervisor.interface import Mark, View
from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.kept_views import KeptViews
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.views import Views
from replikera.ports.clock import Clock


class HostViews:
    """Finds views and marks wherever they are. All calls block."""

    def __init__(self, host: HostFolder, clock: Clock, effects: Effects, kept: KeptViews) -> None:
        self._host = host
        self._clock = clock
        self._effects = effects
        self._kept = kept

    def of(self, machine: MachineFolder) -> Views:
        """Return the views of a machine."""
        return Views(machine, self._clock, self._effects, self._kept)

    def holding(self, view: View) -> Views:
        """Return the views among which this one is. Raises `HypervisorError` (code "unknown-machine")."""
        return self.of(self._host.get(view.machine_id))

    def all(self) -> tuple[View, ...]:
        """Return all views, oldest first."""
        every = (view for folder, _ in self._host.machines() for view in self.of(folder).all())
        return tuple(sorted(every, key=lambda view: view.taken_at))

    def of_tag(self, tag: str) -> tuple[View, ...]:
        """Return the views of a tag, oldest first."""
        return tuple(view for view in self.all() if view.tag == tag)

    def discard(self, view: View) -> None:
        """End a view. One whose machine is gone is gone too."""
        machine = self._host.find(view.machine_id)
        if machine is not None:
            self.of(machine).discard(view)

    def marks(self) -> tuple[Mark, ...]:
        """Return all marks."""
        return tuple(
            mark for folder, _ in self._host.machines() for mark in self.of(folder).marks()
        )

    def mark(self, tag: str) -> Mark | None:
        """Return the mark of a tag."""
        marks = (self.of(folder).mark(tag) for folder, _ in self._host.machines())
        return next((mark for mark in marks if mark is not None), None)

    def drop_mark(self, mark: Mark) -> None:
        """Remove a mark. One whose machine is gone is gone too."""
        machine = self._host.find(mark.machine_id)
        if machine is not None:
            self.of(machine).drop_mark(mark)
