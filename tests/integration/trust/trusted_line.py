"""A real coordinator and real agents in one process, at the ports and folders of a lab: a vault and two sites."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.config import AgentSettings, load_agent_settings
from agent.control import join as joining
from agent.control.membership import MembershipFolder
from agent.control.run import begin_run
from agent.daemon import Agent, Identity
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.live_disks import Write
from agent.hypervisor.simulated.machine_creation import MachineCreation
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.state import NetworkEntry
from agent.machinery import real_machinery
from coordinator import daemon
from coordinator.config import CoordinatorSettings
from coordinator.orchestration.founding import Founding, found_vault
from coordinator.orchestration.machinery import Machinery
from replikera.enrolment import parse_join_line
from replikera.lab.folder import LabFolder, SiteFolder, claim_folder
from replikera.lab.machine import Machine
from replikera.lab.settings_files import PORTS_NEEDED, LoopbackPorts, host_name, write_settings
from replikera.settings import load_settings
from replikera.system.workers import ThreadWorker
from replikera.vhdx import create_image
from tests.e2e.rest import Rest
from tests.support.simulated_host import write_live

MIB = 1 << 20
SECONDS = 60.0
"""How long anything may take before a test fails."""

GRACE_S = 5.0
"""How long after a revocation bytes of the revoked may still be taken."""

OBSERVED_S = 5.0
"""How long it is watched that nothing comes: five cycles of the policy."""

EVERY_VIEW = 10_000
MACHINE = "web"
NETWORK = "production"
POLICY = "every-second"
_POLL_S = 0.05


@dataclass
class TrustedLine:
    """Everything of one test. Whatever runs, runs within a block."""

    machine: Machine
    folder: LabFolder
    settings: CoordinatorSettings
    rest: Rest

    @property
    def source(self) -> SiteFolder:
        return self.folder.primary

    @property
    def target(self) -> SiteFolder:
        return self.folder.secondary

    @asynccontextmanager
    async def vault(self) -> AsyncIterator[None]:
        """Run the coordinator until the block is left."""
        worker = ThreadWorker("vault", threads=1)
        ready = asyncio.Event()
        stopping = asyncio.Event()
        running = daemon.run(
            self.settings, self._machinery(worker), stopping, ready=lambda _: ready.set()
        )
        try:
            async with _background(running, stopping) as task:
                await _first(ready.wait(), task)
                yield
        finally:
            worker.close()

    @asynccontextmanager
    async def agent(
        self, site: SiteFolder, settings: AgentSettings | None = None
    ) -> AsyncIterator[None]:
        """Run the agent of a site until the block is left."""
        settings = settings or self.agent_settings(site)
        stopping = asyncio.Event()
        with real_machinery() as machinery:
            folder = _identity(self.machine, settings)
            membership, credentials = folder.load()
            run = begin_run(machinery.files, folder.path / "starts.json", machinery.randomness)
            identity = Identity(folder, membership, credentials, run)
            agent = Agent(settings, identity, machinery)
            async with _background(agent.run(stopping), stopping):
                yield

    def agent_settings(self, site: SiteFolder) -> AgentSettings:
        return load_agent_settings(self.machine.files, site.settings)

    async def join(self, site: SiteFolder, line: str) -> None:
        """Let a site's host join, as `replikera-agent join` does."""
        settings = self.agent_settings(site)
        folder = _identity(self.machine, settings)
        name = settings.agent.host_name
        await joining.join(
            parse_join_line(line), folder, self.machine.worker, host_name=name, cloud=""
        )

    async def invite(self, site: SiteFolder) -> str:
        answer = await self.rest.post("/host-invitations", {"site": site.site})
        return str(answer["join_line"])

    async def readmit(self, site: SiteFolder) -> None:
        """Readmit a site's host, and let it join again."""
        path = f"/hosts/{host_name(site)}/readmit"
        answer = await self.rest.post(path, {"reason": "examined"})
        await self.join(site, str(answer["join_line"]))

    async def host(self, site: SiteFolder) -> dict[str, Any]:
        return await self.rest.get(f"/hosts/{host_name(site)}")

    async def protection(self) -> dict[str, Any]:
        return await self.rest.get(f"/protections/{MACHINE}")

    async def points(self) -> list[int]:
        """Return the sequences that the vault knows, oldest first."""
        found = await self.rest.everything(f"/protections/{MACHINE}/points")
        return sorted(int(point["sequence"]) for point in found)

    async def until(self, what: str, look: Callable[[], Awaitable[bool]]) -> None:
        """Return when something has become true."""
        try:
            async with asyncio.timeout(SECONDS):
                while not await look():
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise AssertionError(f"{what} did not come") from error

    async def until_new_points(self, count: int = 2) -> None:
        """Return when that many more points are known to the vault."""
        before = len(await self.points())

        async def look() -> bool:
            return len(await self.points()) >= before + count

        await self.until(f"{count} new points", look)

    async def until_state(self, site: SiteFolder, state: str) -> None:
        async def look() -> bool:
            return bool((await self.host(site))["state"] == state)

        await self.until(f"{host_name(site)} {state}", look)

    async def protect(self) -> None:
        """Protect the machine, and return when its first point is there."""
        policy = {"name": POLICY, "copy_frequency_seconds": 1, "retention_hours": 24}
        await self.rest.post("/policies", policy)
        body = {"machine": MACHINE, "target_host": host_name(self.target), "policy": POLICY}
        job = await self.rest.post("/protections", body)

        async def look() -> bool:
            found = await self.rest.get(f"/jobs/{job['id']}")
            assert found["state"] in {"running", "succeeded"}, found
            return bool(found["state"] == "succeeded")

        await self.until("the end of the initial replication", look)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write to the machine's disk, as a guest would, until the block is left."""
        chance = random.Random(1)
        stopping = asyncio.Event()
        host = HostFolder(self.machine.files, self.machine.randomness, self.source.hypervisor)
        folder = host.get_by_name(MACHINE)

        async def write() -> None:
            while not stopping.is_set():
                offset = chance.randrange(0, 3 * MIB, 4096)
                block = Write(0, offset, chance.randbytes(4096))
                await self.machine.worker.run(write_live, folder, block)
                await asyncio.sleep(_POLL_S)

        async with _background(write(), stopping):
            yield

    async def takes_nothing_more(self) -> bool:
        """Tell whether the target takes no byte, from the end of a revocation's grace on."""
        await asyncio.sleep(GRACE_S)
        before = self.stored()
        await asyncio.sleep(OBSERVED_S)
        return self.stored() == before

    def stored(self) -> dict[str, int]:
        """Return every file of replicas that the target holds, with its size."""
        root = self.target.state / "replicas"
        return {str(path): path.stat().st_size for path in root.rglob("*") if path.is_file()}

    def _machinery(self, worker: ThreadWorker) -> Machinery:
        m = self.machine
        return Machinery(m.files, m.clock, m.randomness, worker)


async def make_line(machine: Machine, root: Path) -> TrustedLine:
    """Found the vault, and make the hosts and the machine of the source."""
    folder = claim_folder(machine.files, root)
    ports = LoopbackPorts(*machine.free_ports(PORTS_NEEDED, machine.randomness))
    write_settings(machine.files, folder, ports, kept_views=EVERY_VIEW)
    settings = load_settings(machine.files, folder.coordinator_settings, CoordinatorSettings)
    founding = Founding("home", "ann", folder.profile, settings.api.address)
    worker = ThreadWorker("founding", threads=1)
    try:
        machinery = Machinery(machine.files, machine.clock, machine.randomness, worker)
        await found_vault(machinery, daemon.state_directory(settings), founding)
    finally:
        worker.close()
    for site in (folder.primary, folder.secondary):
        make_host(machine, site.hypervisor)
    make_machine(machine, folder)
    rest = Rest(machine.files, machine.clock, folder.profile, random.Random(str(root)))
    return TrustedLine(machine, folder, settings, rest)


def make_machine(machine: Machine, folder: LabFolder) -> MachineFolder:
    disk = folder.disks / "small.vhdx"
    with create_image(
        machine.files.create(disk), size=4 * MIB, randomness=machine.randomness
    ) as image:
        image.write(machine.randomness.bytes(MIB), 0)
    host = HostFolder(machine.files, machine.randomness, folder.primary.hypervisor)
    creation = MachineCreation(machine.files, machine.randomness, host)
    return creation.create(MACHINE, [disk], [NETWORK])


async def join_both(line: TrustedLine) -> None:
    """Make the sites and let both hosts join; the vault runs."""
    for site in (line.source, line.target):
        await join(line, site)


async def join(line: TrustedLine, site: SiteFolder) -> None:
    """Make a site and let its host join; the vault runs."""
    await line.rest.post("/sites", {"name": site.site})
    await line.join(site, await line.invite(site))


async def until_connected(line: TrustedLine, sites: Sequence[SiteFolder] | None = None) -> None:
    for site in sites or (line.source, line.target):
        await line.until_state(site, "connected")


def make_host(machine: Machine, root: Path) -> HostFolder:
    """Make a simulated host without machines."""
    host = HostFolder(machine.files, machine.randomness, root)
    host.create((NetworkEntry(NETWORK, False, ()),))
    return host


def _identity(machine: Machine, settings: AgentSettings) -> MembershipFolder:
    return MembershipFolder(machine.files, settings.agent.state_directory / "identity")


@asynccontextmanager
async def _background(
    work: Awaitable[None], stopping: asyncio.Event
) -> AsyncIterator[asyncio.Future[None]]:
    """Do something until the block is left, and let it end by itself then; what it raises is raised here."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        stopping.set()
        await asyncio.wait({task}, timeout=SECONDS)
        task.cancel()
    await task


async def _first(awaited: Awaitable[Any], task: asyncio.Future[None]) -> None:
    waiting: asyncio.Future[Any] = asyncio.ensure_future(awaited)
    await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED, timeout=SECONDS)
    if not waiting.done():
        waiting.cancel()
        await task
        raise AssertionError("it ended before it was ready")


def twin_of(line: TrustedLine, site: SiteFolder, folder: Path) -> AgentSettings:
    """Return the settings of a second agent of a site's host, over what is in another folder."""
    settings = line.agent_settings(site)
    copy = SiteFolder(site.site, folder)
    (port,) = line.machine.free_ports(1, line.machine.randomness)
    address = f"127.0.0.1:{port}"
    return replace(
        settings,
        agent=replace(settings.agent, state_directory=copy.state),
        replication=replace(settings.replication, listen=address, address=address),
        hypervisor=replace(
            settings.hypervisor,
            simulated=replace(settings.hypervisor.simulated, root=copy.hypervisor),
        ),
    )
