"""The log of effects after a kill at every step, and after power cuts at many.

A kill keeps what was written and ends the process; guests live on. A power cut keeps any part of what was not synced.
"""

import itertools
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.hypervisor.guest_address import GuestAddress
from agent.hypervisor.interface import MachineDefinition, View
from agent.hypervisor.simulated import power
from agent.hypervisor.simulated.driver import SimulatedHypervisor
from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.machine_creation import MachineCreation
from agent.hypervisor.simulated.machine_folder import MachineFolder
from replikera.ports.processes import Completed
from replikera.system.randomness import SystemRandomness
from replikera.vhdx import create_image
from tests.support.crash_files import CrashFiles
from tests.support.simulated_host import MIB, NETWORKS, InlineWorker, SteppingClock

ROOT = Path("/host")
DISK = ROOT / "storage" / "recovered.vhdx"
TAG = "r1"
PROTECTION = "p1"
PROCESS_ID = 7
SEEDS = range(4)

pytestmark = pytest.mark.simulation


class KilledError(BaseException):
    """The process ended here."""


class Guests:
    """The processes of guests: started ones claim their machine at once, and live until they are told to end."""

    def __init__(self, files: CrashFiles) -> None:
        self._files = files
        self._alive: set[Path] = set()
        files.is_locked = lambda path: path in self._alive  # type: ignore[method-assign]  # the guests' locks

    async def run(
        self, arguments: Sequence[str], *, standard_input: bytes = b"", timeout: float
    ) -> Completed:
        raise NotImplementedError

    async def run_attached(self, arguments: Sequence[str]) -> int:
        raise NotImplementedError

    def start_detached(
        self,
        arguments: Sequence[str],
        *,
        output: Path,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        before, self._files.before = (
            self._files.before,
            None,
        )  # The agent's kill is not the guest's.
        randomness = SystemRandomness()
        machine = MachineFolder(self._files, randomness, output.parent)
        start_id = arguments[arguments.index("--start-id") + 1]
        effects = Effects(self._files, SteppingClock(), randomness, ROOT)
        self._alive.add(machine.guest_lock)
        assert power.claim(machine, start_id, PROCESS_ID, effects)
        self._files.before = before
        return PROCESS_ID

    def terminate(self, process_id: int) -> None:
        assert process_id == PROCESS_ID
        self._alive.clear()

    def kill(self, process_id: int) -> None:
        self.terminate(process_id)

    def is_alive(self, process_id: int) -> bool:
        return process_id == PROCESS_ID and bool(self._alive)


@dataclass
class Process:
    """One life of the agent on the host."""

    files: CrashFiles
    guests: Guests
    hypervisor: SimulatedHypervisor = field(init=False)

    def __post_init__(self) -> None:
        ports = (self.files, InlineWorker(), SteppingClock(), SystemRandomness(), self.guests)
        self.hypervisor = SimulatedHypervisor(*ports, ROOT)

    async def id_of(self, tag: str) -> str:
        machines = (await self.hypervisor.inventory()).machines
        (found,) = (machine for machine in machines if machine.tag == tag)
        return found.description.machine_id

    async def view(self) -> View:
        """Return the view of the protection that an earlier life took, or a new one."""
        views = await self.hypervisor.views(PROTECTION)
        return views[0] if views else await self.hypervisor.freeze(await self.id_of(""), PROTECTION)


async def _make_network(agent: Process) -> None:
    await agent.hypervisor.ensure_isolated_network("test-net", TAG)


async def _define(agent: Process) -> None:
    description = (await agent.hypervisor.describe(await agent.id_of(""))).description
    networks = {nic.nic_id: "test-net" for nic in description.nics}
    paths = {disk.disk_id: DISK for disk in description.disks}
    await agent.hypervisor.define_machine(
        MachineDefinition(TAG, "web - test", description, paths, networks)
    )


async def _block(agent: Process) -> None:
    await agent.hypervisor.block_auto_start(await agent.id_of(""), PROTECTION)


async def _start(agent: Process) -> None:
    await agent.hypervisor.start(await agent.id_of(TAG))


async def _keep(agent: Process) -> None:
    if await agent.hypervisor.mark(PROTECTION) is None:
        await agent.hypervisor.keep(await agent.view())
    for view in await agent.hypervisor.views(PROTECTION):
        await agent.hypervisor.keep(view)


async def _power_off(agent: Process) -> None:
    await agent.hypervisor.power_off(await agent.id_of(TAG))


async def _leave_address(agent: Process) -> None:
    machine_id = await agent.id_of(TAG)
    (nic,) = (await agent.hypervisor.describe(machine_id)).description.nics
    address = GuestAddress(("10.0.0.5/24",))
    await agent.hypervisor.set_guest_address(machine_id, nic.nic_id, address)


async def _detach(agent: Process) -> None:
    await agent.hypervisor.detach_disks(await agent.id_of(TAG))


async def _attach(agent: Process) -> None:
    machine_id = await agent.id_of(TAG)
    paths = (await agent.hypervisor.describe(machine_id)).disk_paths
    await agent.hypervisor.attach_disks(machine_id, paths)


async def _drop_mark(agent: Process) -> None:
    mark = await agent.hypervisor.mark(PROTECTION)
    if mark is not None:
        await agent.hypervisor.drop_mark(mark)


async def _allow(agent: Process) -> None:
    await agent.hypervisor.allow_auto_start(await agent.id_of(""), PROTECTION)


async def _remove(agent: Process) -> None:
    for machine in (await agent.hypervisor.inventory()).machines:
        if machine.tag == TAG:
            await agent.hypervisor.remove_machine(machine.description.machine_id, TAG)


async def _remove_network(agent: Process) -> None:
    await agent.hypervisor.remove_isolated_network("test-net", TAG)


async def _look(agent: Process) -> None:
    await agent.hypervisor.inventory()


Step = Callable[[Process], Awaitable[None]]

MAKING: tuple[Step, ...] = (_make_network, _define, _block, _keep)
STEPS: tuple[Step, ...] = (
    *MAKING, _start, _power_off, _leave_address, _detach, _attach,
    _drop_mark, _allow, _remove, _remove_network, _look,
)  # fmt: skip

EXPECTED = [
    ("network-created", TAG),
    ("machine-defined", TAG),
    ("auto-start-blocked", PROTECTION),
    ("view-taken", PROTECTION),
    ("mark-moved", PROTECTION),
    ("view-ended", PROTECTION),
    ("machine-started", TAG),
    ("machine-powered-off", TAG),
    ("guest-address-set", TAG),
    ("disks-detached", TAG),
    ("disks-attached", TAG),
    ("mark-dropped", PROTECTION),
    ("auto-start-allowed", PROTECTION),
    ("machine-removed", TAG),
    ("network-removed", TAG),
]


def new_host() -> CrashFiles:
    """Return a host with one machine, all of it durable."""
    files = CrashFiles()
    host = HostFolder(files, SystemRandomness(), ROOT)
    host.create(NETWORKS)
    creation = MachineCreation(files, SystemRandomness(), host)
    with create_image(
        files.create(DISK), size=MIB, block_size=MIB, randomness=SystemRandomness()
    ) as image:
        image.flush()
    creation.create("web", [DISK], ["production"], starts_with_host=True)
    return durable(files)


def durable(files: CrashFiles) -> CrashFiles:
    """Return the file system as it is now, with nothing pending."""
    pending = files.pending()
    return files._crashed(pending, [True] * len(pending), None, random.Random(0))


@pytest.fixture(scope="module")
def host() -> CrashFiles:
    return new_host()


class Life:
    """Runs the steps, and ends before the n-th thing that is done to the file system."""

    def __init__(self, host: CrashFiles, steps: Sequence[Step]) -> None:
        self.files = durable(host)
        self.guests = Guests(self.files)
        self.done = 0
        self.at = 0
        self._steps = steps

    async def run(self, dies_at: int | None) -> bool:
        """Go on with the first step that is not finished; tell whether the process died."""
        numbers = itertools.count(1)

        def before(_operation: str, _path: Path) -> None:
            self.at = next(numbers)
            if dies_at is not None and self.at >= dies_at:
                raise KilledError

        self.files.before = before
        agent = Process(self.files, self.guests)
        try:
            while self.done < len(self._steps):
                await self._steps[self.done](agent)
                self.done += 1
        except KilledError:
            return True
        finally:
            self.files.before = None
        return False

    def cut_power(self, files: CrashFiles) -> None:
        self.files = files
        self.guests = Guests(files)

    def log(self) -> list[dict[str, str]]:
        if self.files.status(ROOT / "effects.log") is None:
            return []
        text = self.files.read_bytes(ROOT / "effects.log", limit=1 << 20).decode()
        return [json.loads(line.strip("\0")) for line in text.splitlines()]

    def effects(self) -> list[tuple[str, str]]:
        return [(line["effect"], line["tag"]) for line in self.log()]


async def test_after_a_kill_at_any_step_every_change_has_one_line(host: CrashFiles) -> None:
    whole = Life(host, STEPS)
    assert not await whole.run(None)
    assert whole.effects() == EXPECTED
    total = whole.at
    assert total > 100
    for number in range(1, total + 1):
        life = Life(host, STEPS)
        assert await life.run(number)
        assert not await life.run(None)
        assert life.effects() == EXPECTED, f"killed before step {number}"
        assert len({line["id"] for line in life.log()}) == len(EXPECTED)


async def test_two_kills_are_no_worse_than_one(host: CrashFiles) -> None:
    chooser = random.Random(1)
    whole = Life(host, STEPS)
    await whole.run(None)
    for _ in range(100):
        life = Life(host, STEPS)
        await life.run(chooser.randint(1, whole.at))
        await life.run(chooser.randint(1, 30))
        await life.run(None)
        assert life.effects() == EXPECTED


async def test_a_power_cut_doubles_no_line_and_invents_none(host: CrashFiles) -> None:
    """The steps make and do not undo, so what the log says must be there."""
    whole = Life(host, MAKING)
    await whole.run(None)
    lost = 0
    for number, seed in itertools.product(range(1, whole.at + 1), SEEDS):
        chooser = random.Random(number * 1000 + seed)
        life = Life(host, MAKING)
        await life.run(number)
        life.cut_power(life.files.crash(chooser))
        agent = Process(life.files, life.guests)
        await agent.hypervisor.inventory()
        await assert_true(life, agent)
        await life.run(None)
        counts = Counter((line["effect"], line["object"]) for line in life.log())
        assert set(counts.values()) <= {1}
        assert set(life.effects()) <= set(EXPECTED)
        lost += len(set(EXPECTED[:6]) - set(life.effects()))
    assert lost > 0, "nothing was ever lost: the promise could be made without 'may'"


async def assert_true(life: Life, agent: Process) -> None:
    inventory = await agent.hypervisor.inventory()
    views = {view.view_id for view in await agent.hypervisor.views(PROTECTION)}
    mark = await agent.hypervisor.mark(PROTECTION)
    subjects: dict[str, set[str]] = {}
    for line in life.log():
        subjects.setdefault(line["effect"], set()).add(line["object"])
    ended = subjects.get("view-ended", set())
    assert subjects.get("network-created", set()) <= {each.name for each in inventory.networks}
    assert subjects.get("machine-defined", set()) <= {
        machine.description.machine_id for machine in inventory.machines if machine.tag
    }
    assert subjects.get("auto-start-blocked", set()) <= {
        machine.description.machine_id
        for machine in inventory.machines
        if not machine.starts_with_host
    }
    assert not ended & views
    assert subjects.get("mark-moved", set()) <= {"" if mark is None else mark.mark_id}
    # Ended views are known by the mark that they became.
    assert subjects.get("view-taken", set()) - ended <= views | {
        "" if mark is None else mark.mark_id
    }


def test_a_file_system_that_is_copied_forgets_nothing(host: CrashFiles) -> None:
    assert durable(host).status(DISK) == host.status(DISK)
    assert host.pending() == []
