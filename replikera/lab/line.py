"""The main line, walked by the operations of a user: from an empty folder to a protected machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from replikera.cli.programs import with_full_path
from replikera.lab.command_line import LONG_COMMAND_TIMEOUT_S, CommandLine
from replikera.lab.daemons import Daemons
from replikera.lab.errors import LabError
from replikera.lab.folder import LabFolder, SiteFolder
from replikera.lab.machine import Machine
from replikera.lab.narrator import Narrator
from replikera.lab.report import VAULT_NAME
from replikera.lab.settings_files import host_name
from replikera.lab.waiting import wait_for

MACHINE_NAME = "web01"
COORDINATOR = "coordinator"
_OPERATOR = "lab-operator"
POLICY = "every-2s"
_PRODUCTION = "production"
_TEST = "test"
_READY_S = 30.0
_POINTS_S = 120.0


class Line:
    """One lab's daemons and machine, steered by commands alone."""

    def __init__(self, machine: Machine, folder: LabFolder, narrator: Narrator) -> None:
        self._machine = machine
        self._narrator = narrator
        self.folder = folder
        self.daemons = Daemons(machine.processes, machine.files, machine.clock, folder)
        self.commands = CommandLine(machine, narrator, folder.profile)

    async def make_vault(self) -> None:
        """Make the vault and its first operator, start the coordinator, and tell it of both sites."""
        settings = str(self.folder.coordinator_settings)
        init = ("replikera-coordinator", "init", "--settings", settings, "--name", VAULT_NAME)
        profile = str(self.folder.profile)
        await self.commands.run(*init, "--operator", _OPERATOR, "--profile", profile)
        await self._start(COORDINATOR, "replikera-coordinator", "run", "--settings", settings)
        self._narrator.note(f"$ export REPLIKERA_PROFILE={profile}")
        await self.wait_until_ready(COORDINATOR)
        for site in (self.folder.primary, self.folder.secondary):
            await self.commands.run("replikera", "site", "create", site.site)

    async def make_host(self, site: SiteFolder, networks: Sequence[str]) -> None:
        """Make the simulated hypervisor of a site."""
        options = [part for network in networks for part in ("--network", network)]
        await self._simulate("create-host", site, *options)

    async def make_machine(
        self, disks: Sequence[Path], *, has_workload: bool, name: str = MACHINE_NAME
    ) -> None:
        """Make a machine of the primary site, with copies of the disks, and start it."""
        files = [part for disk in disks for part in ("--disk", str(disk))]
        network = ("--network", _PRODUCTION)
        site = self.folder.primary
        await self._simulate("create-machine", site, "--name", name, *files, *network)
        workload = ("--workload",) if has_workload else ()
        await self._simulate("start", site, "--machine", name, *workload)

    async def join(self, site: SiteFolder) -> None:
        """Invite the site's host, join it, and start its agent."""
        await self.commands.save(site.join_line, "replikera", "host", "invite", "--site", site.site)
        settings = ("--settings", str(site.settings))
        await self.commands.run("replikera-agent", "join", *settings, "--file", str(site.join_line))
        await self._start(agent_name(site), "replikera-agent", "run", *settings)
        await self.wait_until_ready(agent_name(site))
        await self.wait_for_inventory(site)

    async def make_policy(self) -> None:
        """Create the policy."""
        name = ("policy", "create", POLICY)
        await self.commands.run("replikera", *name, "--copy-frequency", "2s", "--retention", "24h")

    async def map_networks(self) -> None:
        """Map the production network; tests are on another."""
        primary, secondary = (
            f"{host_name(site)}/{_PRODUCTION}"
            for site in (self.folder.primary, self.folder.secondary)
        )
        mapping = ("network-mapping", "create", "--primary", primary, "--secondary", secondary)
        await self.commands.run("replikera", *mapping, "--test-network", _TEST)

    async def show_placement(self) -> None:
        """Show where the machine would go at the secondary site, and by which rules."""
        target = ("--target-host", host_name(self.folder.secondary))
        await self.commands.run("replikera", "vm", "placement", MACHINE_NAME, *target)

    async def protect(self, *, waits: bool = True, name: str = MACHINE_NAME) -> None:
        """Enable a machine's protection, and wait for its first recovery point."""
        target = ("--target-host", host_name(self.folder.secondary), "--policy", POLICY)
        await self.commands.run(
            *("replikera", "protection", "enable", name, *target),
            *(("--wait",) if waits else ()),
            timeout=LONG_COMMAND_TIMEOUT_S,
        )

    async def points(self, name: str = MACHINE_NAME) -> list[Mapping[str, object]]:
        """Return the recovery points of a machine, newest first."""
        return items(await self.commands.ask("replikera", "point", "list", name))

    async def wait_for_points(
        self, count: int, name: str = MACHINE_NAME
    ) -> list[Mapping[str, object]]:
        """Return the recovery points once there are at least `count` of them. Raises `LabError`."""

        async def look() -> list[Mapping[str, object]] | None:
            points = await self.points(name)
            return points if len(points) >= count else None

        with self._narrator.work(f"waiting for {count} recovery points of {name}"):
            return await wait_for(
                self._machine.clock,
                look,
                what=f"recovery point {count} of {name}",
                timeout=_POINTS_S,
                interval=1.0,
            )

    async def wait_until_ready(self, name: str) -> None:
        """Return when a daemon that was started says that it is ready. Raises `LabError`."""

        async def look() -> bool | None:
            return True if await self._machine.worker.run(self.daemons.is_ready, name) else None

        with self._narrator.work(f"waiting for {name}"):
            await wait_for(
                self._machine.clock,
                look,
                what=f"the readiness of {name}",
                timeout=_READY_S,
                interval=0.1,
            )

    async def wait_for_inventory(self, site: SiteFolder) -> None:
        """Return when the vault has the inventory of the site's host. Raises `LabError`."""

        async def look() -> bool | None:
            return True if await self._has_reported(site) else None

        with self._narrator.work(f"waiting for the inventory of {host_name(site)}"):
            await wait_for(
                self._machine.clock,
                look,
                what=f"the inventory of {host_name(site)}",
                timeout=_READY_S,
            )

    async def restart(self, name: str) -> None:
        """Start a killed daemon as it was started, and return when it is ready. Raises `LabError`."""
        with self._narrator.command(self.daemons.arguments(name), " &"):
            await self._machine.worker.run(self.daemons.restart, name)
        await self.wait_until_ready(name)

    async def end(self) -> None:
        """End every daemon and every guest of this lab, all that can be. Raises `LabError`."""
        with self._narrator.work("ending the daemons"):
            await self.daemons.stop_all()
        failures: list[LabError] = []
        for site in (self.folder.primary, self.folder.secondary):
            machines = site.hypervisor / "machines"
            names = await self._machine.worker.run(self._machine.files.list_directory, machines)
            for name in names:
                try:
                    await self._simulate("stop", site, "--machine", name)
                except LabError as error:
                    failures.append(error)
        if failures:
            raise failures[0]

    async def _has_reported(self, site: SiteFolder) -> bool:
        # An inventory brings machines and networks together, and every host of the lab has a network.
        networks = items(await self.commands.ask("replikera", "network", "list"))
        return any(network.get("host") == host_name(site) for network in networks)

    async def _simulate(self, verb: str, site: SiteFolder, *options: str) -> None:
        root = ("--root", str(site.hypervisor))
        await self.commands.run(
            *("replikera-agent", "simulate", verb, *root, *options), timeout=LONG_COMMAND_TIMEOUT_S
        )

    async def _start(self, name: str, *arguments: str) -> None:
        with self._narrator.command(arguments, " &"):
            await self._machine.worker.run(self.daemons.start, name, with_full_path(arguments))


def machine_names(count: int) -> tuple[str, ...]:
    """Return the names of a lab's machines, the first of which every lab has."""
    return (MACHINE_NAME, *(f"web{number:02}" for number in range(2, count + 1)))


def agent_name(site: SiteFolder) -> str:
    """Return the name of the daemon of a site's host."""
    return f"{site.site}-agent"


def items(answer: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return the items of a list answer. Raises `LabError`."""
    found = answer.get("items")
    if not isinstance(found, list):
        raise LabError("the vault answered a list without items", "Install all programs anew")
    return found
