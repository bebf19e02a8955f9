"""What the agent asks of a hypervisor: one narrow interface, one contract test suite for all drivers.

Ownership. Whatever a driver creates for us carries a tag (a protection's id for views and marks, a rehearsal's id
for machines), survives a restart of the agent, and is found again by that tag: clean-up is a comparison with what
is there, never a memory of what was made.

Tracking. `freeze` gives a view; `changed_ranges(view, mark)` gives what was written between the two, over-reported
but never under-reported; `keep(view)` turns the view's position into the mark of its tag and ends the view. A
driver that cannot answer raises `TrackingLostError`; the caller then resynchronises and never guesses.

Consistency. Asked for an application-consistent view, a driver lets the guest make its applications ready. Where the
guest cannot or will not, the view is crash-consistent and says why: a missing guest never costs a recovery point.

Auto-start. Whether a machine starts with its host is its owner's decision. A block, one a tag, overrules it and leaves
it as it is, so that what was decided counts again when the last block is gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from agent.hypervisor.guest_address import GuestAddress
from replikera.blocks.extents import Extents
from replikera.machine import MachineDescription


class HypervisorError(Exception):
    """The hypervisor refused or failed; `remedy` says what an operator can do."""

    def __init__(self, code: str, cause: str, remedy: str) -> None:
        super().__init__(f"{cause} {remedy}")
        self.code = code
        self.cause = cause
        self.remedy = remedy


class TrackingLostError(HypervisorError):
    """What changed since the mark cannot be known: only a resync helps."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of the inventory. `tag` is empty for machines that are not ours.

    `starts_with_host` is what a start of the host would do now: False while anybody blocks the machine's auto-start.
    `disk_paths` has by disk id the files of all its disks; those of detached ones too, which `description` lacks.
    `guest_addresses` has by adapter id what `set_guest_address` left to the guest.
    """

    description: MachineDescription
    is_running: bool
    tag: str
    starts_with_host: bool = False
    disk_paths: Mapping[str, Path] = field(default_factory=dict)
    guest_addresses: Mapping[str, GuestAddress] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Network:
    """A virtual network; an isolated one reaches no physical adapter. `tag` is empty for networks that are not ours."""

    name: str
    is_isolated: bool
    subnets: tuple[str, ...]
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """All machines and networks of the host."""

    machines: tuple[Machine, ...]
    networks: tuple[Network, ...]


class Consistency(StrEnum):
    """What a view is to be: the instant as it was, or one for which the guest's applications were made ready."""

    CRASH = "crash-consistent"
    APPLICATION = "application-consistent"


@dataclass(frozen=True, slots=True)
class View:
    """A frozen, point-in-time image of all disks of a machine, as `description` lists them.

    `fallback` says why a view is not application-consistent although that was asked for, else it is empty.
    """

    view_id: str
    machine_id: str
    tag: str
    description: MachineDescription
    taken_at: datetime
    consistency: Consistency = Consistency.CRASH
    fallback: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A tracking position: what "changed since" is asked against. One per tag."""

    mark_id: str
    machine_id: str
    tag: str


class ViewDisk(Protocol):
    """One disk of a view, for reading. Blocking: called through a worker. Safe to use from several threads."""

    @property
    def size(self) -> int:
        """Return the size in bytes as the guest sees it."""

    def data_extents(self) -> Extents:
        """Return what may hold something other than zeros, without reading data."""

    def read(self, length: int, offset: int) -> bytes:
        """Return exactly `length` guest-visible bytes. Raises `HypervisorError`."""

    def close(self) -> None:
        """Close; idempotent."""


@dataclass(frozen=True, slots=True)
class MachineDefinition:
    """A machine to define: hardware of `description`, disks by path, adapters by network name.

    `disk_paths` has one path for every disk id of the description; `networks` one name for every adapter id,
    empty for a disconnected one. The machine's auto-start is blocked under its tag: it never starts by itself.
    """

    tag: str
    name: str
    description: MachineDescription
    disk_paths: Mapping[str, Path]
    networks: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GuestHealth:
    """What the guest says of itself. `records` counts verified workload records, 0 where there are none.

    `is_answering` is False while the guest has not said anything yet.
    """

    is_answering: bool
    is_healthy: bool
    summary: str
    records: int


@dataclass(frozen=True, slots=True)
class DiskCheck:
    """What a look at a disk file found. `problem` is empty for a sound one; `size` is 0 where it is not known."""

    size: int
    problem: str


class Hypervisor(Protocol):
    """One host's hypervisor. All calls may be repeated after a crash of the agent."""

    @property
    def kind(self) -> str:
        """Return the driver's name, for example "simulated"."""

    @property
    def minimum_copy_interval_s(self) -> float:
        """Return the shortest interval between two views that the driver can hold, in seconds."""

    @property
    def storage_path(self) -> Path:
        """Return the host's default folder for disks of recovered machines."""

    async def inventory(self) -> Inventory:
        """Return all machines and networks as they are now."""

    async def networks(self) -> tuple[Network, ...]:
        """Return all networks as they are now."""

    async def describe(self, machine_id: str) -> Machine:
        """Return one machine as it is now. Raises `HypervisorError` (code "unknown-machine")."""

    async def freeze(
        self, machine_id: str, tag: str, consistency: Consistency = Consistency.CRASH
    ) -> View:
        """Take a view of all disks at one instant. Raises `HypervisorError` (code "unknown-machine", ...).

        A view that cannot be application-consistent is crash-consistent, and says why.
        """

    async def all_views(self) -> tuple[View, ...]:
        """Return all views that this agent or one before it took, of any tag, oldest first."""

    async def views(self, tag: str) -> tuple[View, ...]:
        """Return the views that carry the tag, oldest first."""

    async def changed_ranges(self, view: View, mark: Mark) -> Mapping[str, Extents]:
        """Return by disk id what was written between mark and view. Raises `TrackingLostError`."""

    async def open_disk(self, view: View, disk_id: str) -> ViewDisk:
        """Open one disk of a view."""

    async def view_growth(self, view: View) -> int:
        """Return the bytes that the view holds on the source's storage beyond the live disks.

        Looks only; may be asked often. Raises `HypervisorError` (code "unknown-view").
        """

    async def keep(self, view: View) -> Mark:
        """Make the view's position the tag's mark, replacing the one before, and end the view. Idempotent.

        The mark's id is the view's: who kept a view and did not live to hear the answer knows its mark.
        """

    async def discard(self, view: View) -> None:
        """End the view; marks stay. A view that is gone already is no error."""

    async def marks(self) -> tuple[Mark, ...]:
        """Return all marks that this agent or one before it made, of any tag."""

    async def mark(self, tag: str) -> Mark | None:
        """Return the tag's mark, None where there is none."""

    async def drop_mark(self, mark: Mark) -> None:
        """Stop tracking for the mark. One that is gone already is no error."""

    async def check_disk(self, path: Path) -> DiskCheck:
        """Look whether a machine could use the disk file, its parents included. Never changes it."""

    async def define_machine(self, definition: MachineDefinition) -> str:
        """Define a machine, stopped, and return its id; one with this tag that exists already is answered."""

    async def start(self, machine_id: str) -> None:
        """Power on. A running machine is no error."""

    async def guest_health(self, machine_id: str) -> GuestHealth:
        """Return what the guest says of itself since power-on."""

    async def set_guest_address(self, machine_id: str, nic_id: str, address: GuestAddress) -> None:
        """Let the guest give an adapter this address: now, where it runs, else when it starts.

        Replaces what was set before. Raises `HypervisorError` (codes "unknown-machine", "unknown-adapter").
        """

    async def shut_down(self, machine_id: str) -> None:
        """Ask the guest to shut down, and return once it was asked; `describe` shows when it has.

        May be repeated. A stopped machine is no error. Raises `HypervisorError` (codes "unknown-machine",
        "guest-not-answering").
        """

    async def power_off(self, machine_id: str) -> None:
        """Power off at once. A stopped or missing machine is no error."""

    async def remove_machine(self, machine_id: str, tag: str) -> None:
        """Remove the machine's definition, not its disks. Missing: no error. Refuses another tag's."""

    async def detach_disks(self, machine_id: str) -> Machine:
        """Take all disks from the machine, and return it as the hypervisor shows it then; the files stay.

        Detached already: no error. Raises `HypervisorError` (codes "unknown-machine", "still-running").
        """

    async def attach_disks(self, machine_id: str, disk_paths: Mapping[str, Path]) -> Machine:
        """Give the machine its detached disks back, each from the path by its disk id, and return it as it is then.

        Attached from these paths already: no error. A file that was written meanwhile is another content: tracking is
        lost. Raises `HypervisorError` (codes "unknown-machine", "unknown-disk", "bad-disk", "disks-attached").
        """

    async def ensure_isolated_network(self, name: str, tag: str) -> Network:
        """Return the tag's isolated network of this name as the hypervisor shows it, made where it is missing.

        Raises `HypervisorError` (code "network-exists") where the name is that of another network.
        """

    async def remove_isolated_network(self, name: str, tag: str) -> None:
        """Remove the tag's network. Missing: no error. Refuses another's and one that a machine is connected to."""

    async def block_auto_start(self, machine_id: str, tag: str) -> Machine:
        """Keep the machine from starting with its host, and return it as the hypervisor shows it then.

        Whether it runs now is not touched. Raises `HypervisorError` (code "unknown-machine").
        """

    async def allow_auto_start(self, machine_id: str, tag: str) -> Machine:
        """Take the tag's block away, and return the machine as the hypervisor shows it then.

        No block: no error. It starts with its host where its owner had it so and no other tag blocks it.
        """
