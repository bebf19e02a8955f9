"""Faults on request: faults.json of the host's folder says which operations fail, are slow, or hang, and how often.

Only `replikera-agent simulate fault` puts them there, the driver and its guests look before (and after) what they do.
Every fault is counted: one that was met as often as asked for is gone. A fault that hangs an operation stays listed
until it is cleared, and that lets the operation go on.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from pydantic.dataclasses import dataclass

from agent.hypervisor.interface import HypervisorError, TrackingLostError
from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.state import StateFile
from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness
from replikera.ports.workers import Worker

FAULTS_FILE = "faults.json"
_LOCK_FILE = "faults.lock"

MAX_FAULTS = 100
MAX_COUNT = 1_000_000
MAX_SECONDS = 86_400.0

_POLL_S = 0.2
_REMEDY = "It was asked for: see `replikera-agent simulate fault list`."


class Operation(StrEnum):
    """What can be made to fail: every call of the driver, reading a view's disk, and what a guest is asked for."""

    INVENTORY = "inventory"
    NETWORKS = "networks"
    DESCRIBE = "describe"
    FREEZE = "freeze"
    ALL_VIEWS = "all-views"
    VIEWS = "views"
    CHANGED_RANGES = "changed-ranges"
    OPEN_DISK = "open-disk"
    READ_DISK = "read-disk"
    VIEW_GROWTH = "view-growth"
    KEEP = "keep"
    DISCARD = "discard"
    MARKS = "marks"
    MARK = "mark"
    DROP_MARK = "drop-mark"
    CHECK_DISK = "check-disk"
    DEFINE_MACHINE = "define-machine"
    START = "start"
    GUEST_HEALTH = "guest-health"
    SET_GUEST_ADDRESS = "set-guest-address"
    SHUT_DOWN = "shut-down"
    POWER_OFF = "power-off"
    REMOVE_MACHINE = "remove-machine"
    DETACH_DISKS = "detach-disks"
    ATTACH_DISKS = "attach-disks"
    ENSURE_ISOLATED_NETWORK = "ensure-isolated-network"
    REMOVE_ISOLATED_NETWORK = "remove-isolated-network"
    BLOCK_AUTO_START = "block-auto-start"
    ALLOW_AUTO_START = "allow-auto-start"
    GUEST_QUIESCE = "guest-quiesce"
    GUEST_SHUT_DOWN = "guest-shut-down"


class FaultKind(StrEnum):
    """What becomes of an operation that meets a fault."""

    FAIL = "fail"
    DELAY = "delay"
    HANG = "hang"


@dataclass(frozen=True, slots=True, config=state.STRICT)
class Fault:
    """One fault. It is met `remaining` times more, then gone.

    `seconds` are those of a delay; `code` and `cause` those of the error. `is_after`: the operation is done first, and
    its answer is lost.
    """

    fault_id: str
    operation: Operation
    kind: FaultKind
    remaining: int
    seconds: float = 0.0
    code: str = ""
    cause: str = ""
    is_after: bool = False

    @property
    def error(self) -> HypervisorError:
        """Return what a failing operation raises."""
        kind = TrackingLostError if self.code == "tracking-lost" else HypervisorError
        return kind(self.code, self.cause, _REMEDY)


@dataclass(frozen=True, slots=True, config=state.STRICT)
class FaultsFile:
    """faults.json; missing where there are none."""

    faults: tuple[Fault, ...]


FAULTS = StateFile(FaultsFile)


class FaultList:
    """The faults of one host. All calls block."""

    def __init__(self, files: Files, randomness: Randomness, root: Path) -> None:
        self._files = files
        self._randomness = randomness
        self._path = root / FAULTS_FILE
        self._lock = root / _LOCK_FILE

    def all(self) -> tuple[Fault, ...]:
        """Return the faults, in the order in which they were added."""
        found = FAULTS.load(self._files, self._path)
        return () if found is None else found.faults

    def add(self, fault: Fault) -> Fault:
        """Add a fault, whatever id it has, and return it with its own. Raises `HypervisorError` (code "bad-fault")."""
        with self._files.lock(self._lock):
            faults = self.all()
            _check(fault, len(faults))
            added = replace(fault, fault_id=self._randomness.uuid())
            self._save((*faults, added))
            return added

    def clear(self) -> tuple[Fault, ...]:
        """Remove all faults, and return them."""
        with self._files.lock(self._lock):
            faults = self.all()
            self._save(())
            return faults

    def take(self, operation: Operation, *, is_after: bool = False) -> Fault | None:
        """Meet the oldest fault of an operation, None where there is none."""
        if self._files.status(self._path) is None:
            return None
        with self._files.lock(self._lock):
            faults = self.all()
            for fault in faults:
                if (fault.operation, fault.is_after) == (operation, is_after) and fault.remaining:
                    met = replace(fault, remaining=fault.remaining - 1)
                    stays = met.remaining or met.kind is FaultKind.HANG
                    others = (met if each is fault else each for each in faults)
                    self._save(tuple(each for each in others if each is not met or stays))
                    return fault
        return None

    def is_there(self, fault: Fault) -> bool:
        """Tell whether a fault was not cleared yet."""
        return any(each.fault_id == fault.fault_id for each in self.all())

    def _save(self, faults: tuple[Fault, ...]) -> None:
        if faults:
            FAULTS.save(self._files, self._path, FaultsFile(faults))
        elif self._files.status(self._path) is not None:
            self._files.remove(self._path)


class Faults:
    """Lets the operations of a driver, or of a guest, meet the faults of their host."""

    def __init__(self, listed: FaultList, worker: Worker, clock: Clock) -> None:
        self._listed = listed
        self._worker = worker
        self._clock = clock

    @asynccontextmanager
    async def around(self, operation: Operation) -> AsyncIterator[None]:
        """Do an operation in the block; its faults come before it, or once it is done."""
        await self.meet(operation)
        yield
        await self.meet(operation, is_after=True)

    async def meet(self, operation: Operation, *, is_after: bool = False) -> None:
        """Be slow, or hang, or raise, as the next fault of the operation wants it."""
        fault = await self._worker.run(self._listed.take, operation, is_after=is_after)
        if fault is None:
            return
        match fault.kind:
            case FaultKind.FAIL:
                raise fault.error
            case FaultKind.DELAY:
                await self._clock.sleep(fault.seconds)
            case FaultKind.HANG:
                while await self._worker.run(self._listed.is_there, fault):
                    await self._clock.sleep(_POLL_S)


def _check(fault: Fault, present: int) -> None:
    problem = ""
    if present >= MAX_FAULTS:
        problem = f"There are {present} faults already"
    elif not 0 < fault.remaining <= MAX_COUNT:
        problem = f"A fault cannot be met {fault.remaining} times, 1 to {MAX_COUNT} are possible"
    elif not 0 <= fault.seconds <= MAX_SECONDS:
        problem = f"An operation cannot take {fault.seconds} s, at most {MAX_SECONDS:.0f} s"
    elif fault.operation is Operation.READ_DISK and fault.kind is not FaultKind.FAIL:
        problem = "Reading the disk of a view can fail, no more"
    if problem:
        raise HypervisorError("bad-fault", f"{problem}.", "Choose another, or clear the faults.")
