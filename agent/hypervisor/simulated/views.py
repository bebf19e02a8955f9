"""Views and marks of one machine, as folders and small files.

A view exists from the moment its view.json is durable until that file is gone; a mark is one file that is replaced as
a whole. Keeping a view is "replace the mark, then end the view", so after a crash between the two the view is still
there with the new mark, and keeping it again does the rest. What a crash leaves besides (a folder without view.json,
a log that nobody needs) is removed by the next call that takes the lock.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from agent.hypervisor.interface import (
    Consistency,
    HypervisorError,
    Mark,
    TrackingLostError,
    View,
)
from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.effects import Effects, Evidence
from agent.hypervisor.simulated.kept_views import KeptViews
from agent.hypervisor.simulated.machine_folder import (
    MachineFolder,
    bad_disk,
    examine_disks,
    open_disk,
)
from agent.hypervisor.simulated.marks import Marks
from agent.hypervisor.simulated.over_reporting import over_reported
from agent.hypervisor.simulated.state import DiskIdentity, MachineFile, MarkFile, ViewFile
from agent.hypervisor.simulated.view_disk import SimulatedViewDisk
from replikera.blocks.extents import Extents
from replikera.durable import make_directory_durably, remove_durably
from replikera.machine import MachineDescription
from replikera.ports.clock import Clock

VIEW_FILE = "view.json"


class Views:
    """The views and marks of one machine. All calls block."""

    def __init__(
        self, machine: MachineFolder, clock: Clock, effects: Effects, kept: KeptViews
    ) -> None:
        self._machine = machine
        self._files = machine.files
        self._clock = clock
        self._effects = effects
        self._kept = kept
        self._marks = Marks(machine, effects)

    def freeze(self, tag: str, unreadiness: Callable[[], str] | None = None) -> View:
        """Take a view: a second name for every disk file, and the next tracking log.

        `unreadiness`, where the view is to be application-consistent, says under the machine's lock why the guest is
        not ready for it; "" where it is.
        """
        state.check_file_name("tag of a view", tag)
        with self._machine.lock():
            machine = self._machine.read()
            self._effects.settle(self._machine.path)
            _check_has_disks(machine)
            self._tidy()
            fallback = None if unreadiness is None else unreadiness()
            view_id = self._machine.randomness.uuid()
            folder = self._folder(view_id)
            make_directory_durably(self._files, folder)
            try:
                view = self._take(machine, folder, view_id, tag, fallback)
            except HypervisorError:
                self._files.remove_tree(folder)
                raise
            return _view_of(view)

    def all(self) -> list[View]:
        """Return all views, oldest first."""
        views = [view for view in map(self._load, self._view_ids()) if view is not None]
        return sorted((_view_of(view) for view in views), key=lambda view: view.taken_at)

    def changed_ranges(self, view: View, mark: Mark) -> dict[str, Extents]:
        """Return by disk id what was written between mark and view. Raises `TrackingLostError`."""
        taken = self._existing(view.view_id)
        recorded = self._marks.load(mark.tag)
        if recorded is None or recorded.mark_id != mark.mark_id:
            raise _lost(f"mark {mark.mark_id} is gone")
        if recorded.identities != taken.identities:
            raise _lost(f"the disks of {taken.description.name} are not those of the mark")
        sizes = [identity.size for identity in taken.identities]
        ranges = self._machine.tracking.since(recorded.position, taken.position, sizes)
        names = [identity.disk_id for identity in taken.identities]
        reported = map(over_reported, ranges, sizes)
        return dict(zip(names, reported, strict=True))

    def open_disk(self, view: View, disk_id: str) -> SimulatedViewDisk:
        """Open one disk of a view."""
        taken = self._existing(view.view_id)
        if disk_id not in {disk.disk_id for disk in taken.description.disks}:
            raise HypervisorError(
                "unknown-disk",
                f"View {view.view_id} of {taken.description.name} has no disk {disk_id}.",
                "Ask for a disk of the view's own description.",
            )
        path = self._folder(view.view_id) / f"{disk_id}.vhdx"
        return SimulatedViewDisk(path, open_disk(self._files, path))

    def growth(self, view: View) -> int:
        """Return the bytes of a view's disk files that the machine has left for copies of them."""
        taken = self._existing(view.view_id)
        folder = self._folder(view.view_id)
        found = [self._files.status(folder / f"{name}.vhdx") for name in self._left_behind(taken)]
        return sum(status.allocated for status in found if status is not None)

    def keep(self, view: View) -> Mark:
        """Make the view's position the mark of its tag, then end the view."""
        with self._machine.lock():
            self._effects.settle(self._machine.path)
            taken = self._load(view.view_id)
            if taken is None:
                self._tidy()
                return self._mark_of_ended(view)
            mark = MarkFile(taken.view_id, taken.tag, taken.position, taken.identities)
            self._marks.move(mark)
            self._end(taken)
            self._tidy()
            return self._marks.shown(mark)

    def discard(self, view: View) -> None:
        """End a view; marks stay."""
        with self._machine.lock():
            self._effects.settle(self._machine.path)
            taken = self._load(view.view_id)
            if taken is not None:
                self._end(taken)
            self._tidy()

    def marks(self) -> list[Mark]:
        """Return all marks."""
        return self._marks.all()

    def mark(self, tag: str) -> Mark | None:
        """Return the mark of a tag."""
        recorded = self._marks.load(tag)
        return None if recorded is None else self._marks.shown(recorded)

    def drop_mark(self, mark: Mark) -> None:
        """Remove a mark; a newer one of the same tag stays."""
        with self._machine.lock():
            self._effects.settle(self._machine.path)
            self._marks.drop(mark)
            self._tidy()

    def _take(
        self, machine: MachineFile, folder: Path, view_id: str, tag: str, fallback: str | None
    ) -> ViewFile:
        disks = machine.description.disks
        names = [state.check_file_name("id of a disk", disk.disk_id) for disk in disks]
        links = [folder / f"{name}.vhdx" for name in names]
        for source, link in zip(self._machine.disk_paths(machine), links, strict=True):
            try:
                self._files.link(source, link)
            except OSError as error:
                raise bad_disk(source, error) from error
        identities, contents = examine_disks(self._files, machine, links)
        self._machine.session.look(
            contents, self._machine.boot_id, is_in_use=self._machine.is_running()
        )
        taken_at = self._clock.now()
        view = ViewFile(
            view_id=view_id,
            tag=tag,
            description=_with_sizes(machine.description, identities),
            taken_at=taken_at,
            position=self._machine.tracking.rotate(),
            identities=identities,
            consistency=Consistency.APPLICATION if fallback == "" else Consistency.CRASH,
            fallback=fallback or "",
        )
        evidence = Evidence(folder / VIEW_FILE, state.VIEW.encode(view))
        with self._making("view-taken", view_id, tag, evidence):
            state.VIEW.save(self._files, folder / VIEW_FILE, view)
            self._files.sync_directory(self._machine.views_path)
        return view

    def _left_behind(self, view: ViewFile) -> list[str]:
        """Return the disks that were written since the view, and so live on in copies of its files."""
        sizes = [identity.size for identity in view.identities]
        names = [identity.disk_id for identity in view.identities]
        try:
            written = self._machine.tracking.written_after(view.position, sizes)
        except TrackingLostError:
            return names
        return [name for name, ranges in zip(names, written, strict=True) if len(ranges)]

    def _end(self, view: ViewFile) -> None:
        folder = self._folder(view.view_id)
        gone = Evidence(folder / VIEW_FILE, None)
        with self._making("view-ended", view.view_id, view.tag, gone):
            if not self._kept.take_over(self._machine.path.name, view.view_id, folder):
                remove_durably(self._files, folder / VIEW_FILE)
                self._files.remove_tree(folder)

    def _making(
        self, effect: str, subject: str, tag: str, evidence: Evidence
    ) -> AbstractContextManager[None]:
        return self._effects.making(self._machine.path, effect, subject, tag, evidence)

    def _tidy(self) -> None:
        """Remove views that are none any more, and the logs that no mark and no view can ask for."""
        positions = self._marks.positions()
        for name in self._view_ids():
            view = self._load(name)
            if view is None:
                self._files.remove_tree(self._folder(name))
            else:
                positions.append(view.position)
        newest = self._machine.tracking.newest()
        self._machine.tracking.prune(min((each.number for each in positions), default=newest))

    def _mark_of_ended(self, view: View) -> Mark:
        recorded = self._marks.load(view.tag)
        if recorded is None or recorded.mark_id != view.view_id:
            raise _unknown_view(view.view_id)
        return self._marks.shown(recorded)

    def _existing(self, view_id: str) -> ViewFile:
        view = self._load(view_id)
        if view is None:
            raise _unknown_view(view_id)
        return view

    def _load(self, view_id: str) -> ViewFile | None:
        return state.VIEW.load(self._files, self._folder(view_id) / VIEW_FILE)

    def _view_ids(self) -> list[str]:
        names = self._files.list_directory(self._machine.views_path)
        return [name for name in names if state.is_file_name(name)]

    def _folder(self, view_id: str) -> Path:
        return self._machine.views_path / state.check_file_name("id of a view", view_id)


def _view_of(view: ViewFile) -> View:
    return View(
        view_id=view.view_id,
        machine_id=view.description.machine_id,
        tag=view.tag,
        description=view.description,
        taken_at=view.taken_at,
        consistency=view.consistency,
        fallback=view.fallback,
    )


def _check_has_disks(machine: MachineFile) -> None:
    if not machine.description.disks:
        raise HypervisorError(
            "no-disks",
            f"Machine {machine.description.name} has no disks.",
            "Attach its disks, then try again.",
        )


def _with_sizes(
    description: MachineDescription, identities: tuple[DiskIdentity, ...]
) -> MachineDescription:
    """Return the description with the sizes that the files have now: a disk may have been grown."""
    disks = tuple(
        replace(disk, size=identity.size)
        for disk, identity in zip(description.disks, identities, strict=True)
    )
    return replace(description, disks=disks)


def _lost(cause: str) -> TrackingLostError:
    return TrackingLostError(
        "tracking-lost", f"What changed is not known: {cause}.", "Resynchronise the machine."
    )


def _unknown_view(view_id: str) -> HypervisorError:
    return HypervisorError(
        "unknown-view",
        f"View {view_id} is gone.",
        "Take a new view; the changes since the mark are still tracked.",
    )
